// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferrite/bmc"
	"ferrite/bmc/bmctest"
	"ferrite/node"
)

// Rows of spec ipmi-driver.md section 1. info is driver_info as JSON; refused is the text, "" = accepted.
var rules = []struct{ info, refused string }{
	{`{}`, "Missing the following IPMI credentials in node's driver_info: ['ipmi_address']."},
	{`{"ipmi_address": ""}`, "Missing the following IPMI credentials in node's driver_info: ['ipmi_address']."},
	{`{"ipmi_address": null, "ipmi_port": "x"}`, "Missing the following IPMI credentials in node's driver_info: ['ipmi_address']."},
	{`{"ipmi_address": "10.0.0.1"}`, ""},
	{`{"ipmi_address": "fd00::1"}`, ""},
	{`{"ipmi_address": "bmc-1.example.com"}`, ""},
	{`{"ipmi_address": "a", "ipmi_username": "", "ipmi_password": 1234}`, ""},
	{`{"ipmi_address": "a", "ipmi_protocol_version": "2.0"}`, ""},
	{`{"ipmi_address": "a", "ipmi_protocol_version": 2.0}`, ""},
	{`{"ipmi_address": "a", "ipmi_protocol_version": 1.5}`, ""},
	{`{"ipmi_address": "a", "ipmi_protocol_version": "1.5"}`, ""},
	{`{"ipmi_address": "a", "ipmi_protocol_version": "2"}`, "Invalid IPMI protocol version value 2, the valid value can be one of ('2.0', '1.5')"},
	{`{"ipmi_address": "a", "ipmi_protocol_version": "3.0", "ipmi_port": "x"}`, "Invalid IPMI protocol version value 3.0, the valid value can be one of ('2.0', '1.5')"},
	{`{"ipmi_address": "a", "ipmi_terminal_port": 65536, "ipmi_port": "x"}`, `ipmi_terminal_port "65536" is not a valid port: wanted 0 to 65535.`},
	{`{"ipmi_address": "a", "ipmi_port": "x"}`, `ipmi_port "x" is not a valid port: wanted 0 to 65535.`},
	{`{"ipmi_address": "a", "ipmi_port": -1}`, `ipmi_port "-1" is not a valid port: wanted 0 to 65535.`},
	{`{"ipmi_address": "a", "ipmi_port": "6230"}`, ""},
	{`{"ipmi_address": "a", "ipmi_port": 0}`, ""},
	{`{"ipmi_address": "a", "ipmi_bridging": "no", "ipmi_target_channel": null}`, ""},
	{`{"ipmi_address": "a", "ipmi_bridging": null}`, "Invalid value for ipmi_bridging: None, the valid value can be one of: ['no', 'single', 'dual']"},
	{`{"ipmi_address": "a", "ipmi_bridging": "triple"}`, "Invalid value for ipmi_bridging: triple, the valid value can be one of: ['no', 'single', 'dual']"},
	{`{"ipmi_address": "a", "ipmi_bridging": "single", "ipmi_target_channel": "0", "ipmi_target_address": null}`, "['ipmi_target_address'] not provided"},
	{`{"ipmi_address": "a", "ipmi_bridging": "single", "ipmi_target_channel": "0", "ipmi_target_address": "0x20"}`, ""},
	{`{"ipmi_address": "a", "ipmi_bridging": "dual", "ipmi_target_channel": "0", "ipmi_target_address": "0x20"}`, "['ipmi_transit_channel', 'ipmi_transit_address'] not provided"},
	{`{"ipmi_address": "a", "ipmi_bridging": "dual", "ipmi_target_channel": "0", "ipmi_target_address": "0x20", "ipmi_transit_channel": "0", "ipmi_transit_address": "0x82"}`, ""},
	{`{"ipmi_address": "a", "ipmi_priv_level": "OPERATOR"}`, ""},
	{`{"ipmi_address": "a", "ipmi_priv_level": "operator", "ipmi_hex_kg_key": "abc"}`, "Invalid privilege level value:operator, the valid value can be one of ADMINISTRATOR, CALLBACK, OPERATOR, USER"},
	{`{"ipmi_address": "a", "ipmi_hex_kg_key": "abc", "ipmi_cipher_suite": "x"}`, "Number of ipmi_hex_kg_key characters is not even"},
	{`{"ipmi_address": "a", "ipmi_hex_kg_key": "zz"}`, ""},
	{`{"ipmi_address": "a", "ipmi_cipher_suite": "x"}`, "Invalid cipher suite x: must be a number."},
	{`{"ipmi_address": "a", "ipmi_cipher_suite": 3}`, ""},
	{`{"ipmi_address": "a", "ipmi_cipher_suite": "17"}`, ""},
	{`{"ipmi_address": "a", "ipmi_cipher_suite": 3, "ipmi_protocol_version": "1.5"}`, "ipmi_cipher_suite 3 can not be used with ipmi_protocol_version 1.5: wanted 2.0."},
}

func decode(t *testing.T, text string) map[string]any {
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDriverInfo(t *testing.T) {
	d := engine(t, quick()).Driver()
	for _, r := range rules {
		n := &node.Node{UUID: "n", DriverInfo: decode(t, r.info)}
		for name, err := range map[string]error{"power": d.Validate.ValidatePower(n), "management": d.Validate.ValidateManagement(n)} {
			var refused *node.Error
			switch {
			case r.refused == "" && err != nil:
				t.Errorf("%s: %s refuses it: %v", r.info, name, err)
			case r.refused != "" && (!errors.As(err, &refused) || refused.Kind != node.Invalid || refused.Text != r.refused):
				t.Errorf("%s: %s says %v: wanted invalid, %s", r.info, name, err, r.refused)
			}
		}
	}
	for _, address := range []string{"Bad_Host", "UPPER", "a b", "-x", "x..y", strings.Repeat("a", 256)} {
		n := &node.Node{DriverInfo: map[string]any{"ipmi_address": address}}
		if d.Validate.ValidatePower(n) == nil {
			t.Errorf("power accepts address %q", address)
		}
		if err := d.Validate.ValidateManagement(n); err != nil { // only the power interface looks at its form
			t.Errorf("management refuses address %q: %v", address, err)
		}
	}
	n := &node.Node{DriverInfo: map[string]any{"ipmi_address": "a"}, DriverInternalInfo: map[string]any{"allocated_ipmi_terminal_port": 70000}}
	if d.Validate.ValidatePower(n) == nil {
		t.Error("an allocated terminal port of 70000 is accepted")
	}
}

// What Ironic accepts, but we cannot do, is refused in clear words when it is asked for.
func TestNotBuilt(t *testing.T) {
	e := engine(t, quick())
	d := e.Driver()
	for info, want := range map[string]string{
		`{"ipmi_protocol_version": "1.5"}`: "IPMI 1.5 is not built",
		`{"ipmi_bridging": "single", "ipmi_target_channel": "0", "ipmi_target_address": "0x20"}`: "bridging is not built",
		`{"ipmi_cipher_suite": 0}`:                   "cipher suite 0 is not supported",
		`{"ipmi_cipher_suite": 1}`:                   "cipher suite 1 is not supported",
		`{"ipmi_cipher_suite": 2}`:                   "cipher suite 2 is not supported",
		`{"ipmi_cipher_suite": 259}`:                 "cipher suite 259 is not supported",
		`{"ipmi_hex_kg_key": "zz"}`:                  "ipmi_hex_kg_key holds other characters",
		`{"ipmi_username": "12345678901234567"}`:     "ipmi_username has 17 bytes",
		`{"ipmi_password": "123456789012345678901"}`: "ipmi_password has 21 bytes",
		`{"ipmi_port": 0}`:                           "ipmi_port is 0",
	} {
		n := &node.Node{UUID: "n", DriverInfo: decode(t, info)}
		n.DriverInfo["ipmi_address"] = "127.0.0.1"
		if err := d.Validate.ValidatePower(n); err != nil {
			t.Errorf("%s: validation refuses it: %v", info, err)
		}
		_, err := d.Power.PowerState(t.Context(), n)
		var failed *bmc.Error
		if !errors.As(err, &failed) || failed.Unknown || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: power state says %v: wanted %q", info, err, want)
		}
		if err := d.Power.SetPower(t.Context(), n, bmc.On, bmctest.Permit{}); !errors.As(err, &failed) || failed.Unknown {
			t.Errorf("%s: power on says %v", info, err)
		}
		if _, err := d.Poller.Prepare(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: prepare says %v: wanted %q", info, err, want)
		}
	}
	if s := e.Stats(); s.Sent != 0 {
		t.Errorf("%d packets were sent: wanted none", s.Sent)
	}
}

func TestProperties(t *testing.T) {
	p := engine(t, quick()).Driver().Properties
	if len(p) != 17 {
		t.Errorf("%d properties: wanted Ironic's 16 and ipmi_quirks", len(p))
	}
	for _, key := range strings.Fields("address password hex_kg_key port priv_level username bridging transit_channel transit_address target_channel target_address local_address protocol_version force_boot_device disable_boot_timeout cipher_suite") {
		if text := p["ipmi_"+key]; !strings.Contains(text, "Required") && !strings.HasSuffix(text, "Optional.") {
			t.Errorf("ipmi_%s is described as %q", key, text)
		}
	}
}

func TestSuiteOrder(t *testing.T) {
	for _, c := range []struct{ option, want []int }{
		{nil, []int{17, 3}},
		{[]int{3}, []int{17, 3}},
		{[]int{17}, []int{17}},
		{[]int{3, 17}, []int{17, 3}},
		{[]int{0, 1, 2}, []int{17}},
		{[]int{17, 3}, []int{17, 3}},
		{[]int{1, 3, 8}, []int{17, 3}},
	} {
		cfg := Defaults()
		cfg.CipherSuiteVersions = c.option
		var got []int
		for _, s := range cfg.order() {
			got = append(got, int(s.id))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("cipher_suite_versions %v gives %v: wanted %v", c.option, got, c.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"cipher_suite_versions": func(c *Config) { c.CipherSuiteVersions = []int{300} },
		"timeouts":              func(c *Config) { c.Timeouts = nil },
		"timeout":               func(c *Config) { c.Timeouts = append(slices.Clone(c.Timeouts), 0) },
		"window":                func(c *Config) { c.Window = 0 },
		"command_retry_timeout": func(c *Config) { c.CommandRetryTimeout = 0 },
		"min_command_interval":  func(c *Config) { c.MinCommandInterval = -1 },
		"default_boot_mode":     func(c *Config) { c.DefaultBootMode = "x" },
	} {
		c := Defaults()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New says %v: wanted it to name %s", err, want)
		}
	}
}

func TestVendorNames(t *testing.T) {
	for id, want := range map[uint32]string{343: "intel corporation", 10876: "supermicro", 19046: "lenovo", 11: "hewlett-packard", 41475: "tencent", 0xfffff: ""} {
		data := []byte{0x20, 1, 9, 8, 2, 0x9f, byte(id), byte(id >> 8), byte(id>>16) | 0xf0, 2, 0xf}
		if got := vendor(data); got != want {
			t.Errorf("manufacturer %d is %q: wanted %q", id, got, want)
		}
	}
	if got := vendor(make([]byte, 8)); got != "" {
		t.Errorf("a short answer gives %q", got)
	}
	for id, name := range vendors {
		if name != strings.ToLower(name) {
			t.Error(fmt.Sprint(id), name, "is not in lower case")
		}
	}
}
