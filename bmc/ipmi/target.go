// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unique"

	"ferrite/node"
)

// Privilege levels (IPMI v2.0, table 13-17).
const (
	privUser     = 2
	privOperator = 3
	privAdmin    = 4
)

// privileges maps ipmi_priv_level to its number.
var privileges = map[string]byte{"CALLBACK": 1, "USER": 2, "OPERATOR": 3, "ADMINISTRATOR": 4}

// login is what a session is opened with. Nodes with equal logins share one (package unique).
type login struct {
	user, password string
	kg             string // raw bytes, "" = the password
	priv           byte
	suite          byte // 0 = find out
	quirks         quirk
}

// target is where a node's BMC is and how to log in.
type target struct {
	host string // as given
	port uint16
	addr netip.AddrPort // when host is an IP address
	who  unique.Handle[login]
	// known is what the node's record says of refusals of the login, nil = nothing.
	known *node.Refusal
	// why is a reason for which this BMC cannot be commanded although driver_info is valid, nil = it can be.
	why error
}

// String is host:port.
func (t target) String() string {
	if strings.Contains(t.host, ":") {
		return fmt.Sprintf("[%s]:%d", t.host, t.port)
	}
	return fmt.Sprintf("%s:%d", t.host, t.port)
}

func invalid(n *node.Node, format string, args ...any) error {
	return &node.Error{Op: "driver_info", Node: n.UUID, Kind: node.Invalid, Text: fmt.Sprintf(format, args...)}
}

// str is a driver_info value as text, as Python's str() would make it; false = absent or null.
func str(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		return s, true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	default:
		return fmt.Sprint(v), true
	}
}

// lenient reads a bool as Ironic does; text that it does not know is false.
func lenient(v any) bool {
	s, _ := str(v)
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	default:
		return false
	}
}

// addressed is rule 1 of spec ipmi-driver.md section 1.
func addressed(n *node.Node) (string, error) {
	a, _ := str(n.DriverInfo["ipmi_address"])
	if a == "" {
		return "", invalid(n, "Missing the following IPMI credentials in node's driver_info: ['ipmi_address'].")
	}
	return a, nil
}

// hostName reports whether s is a lower-case host name: letters, digits, "-" and dots.
func hostName(s string) bool {
	if len(s) > 255 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// checkAddress is what the power interface wants of ipmi_address beyond being there.
func checkAddress(n *node.Node) error {
	a, err := addressed(n)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(a); err != nil && !hostName(a) {
		return invalid(n, "Invalid value for ipmi_address: %q. Wanted an IP address or a lower-case host name.", a)
	}
	return nil
}

// port is rules 5 and 6: absent, or 0..65535 as a number or digits.
func port(n *node.Node, key string) (uint16, error) {
	s, ok := str(n.DriverInfo[key])
	if !ok {
		return 0, nil
	}
	p, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil {
		return 0, invalid(n, "%s %q is not a valid port: wanted 0 to 65535.", key, s)
	}
	return uint16(p), nil
}

// parseInfo reads driver_info by the rules of spec ipmi-driver.md section 1, in their order; the first that fails wins.
func parseInfo(n *node.Node) (target, error) {
	info := n.DriverInfo
	t := target{port: 623, known: n.Refused}
	var who login
	var err error
	if t.host, err = addressed(n); err != nil {
		return t, err
	}
	who.user, _ = str(info["ipmi_username"])
	who.password, _ = str(info["ipmi_password"])
	version, ok := str(info["ipmi_protocol_version"])
	if _, whole := info["ipmi_protocol_version"].(float64); whole && version == "2" {
		version = "2.0" // the JSON number 2.0
	}
	if !ok {
		version = "2.0"
	}
	if version != "2.0" && version != "1.5" {
		return t, invalid(n, "Invalid IPMI protocol version value %s, the valid value can be one of ('2.0', '1.5')", version)
	}
	for _, key := range []string{"ipmi_terminal_port", "ipmi_port"} {
		p, err := port(n, key)
		if err != nil {
			return t, err
		}
		if _, given := str(info[key]); given && key == "ipmi_port" {
			t.port = p
		}
	}
	if _, err := port(&node.Node{UUID: n.UUID, DriverInfo: map[string]any{"ipmi_terminal_port": n.DriverInternalInfo["allocated_ipmi_terminal_port"]}}, "ipmi_terminal_port"); err != nil {
		return t, err
	}
	bridging, err := bridge(n)
	if err != nil {
		return t, err
	}
	level, ok := str(info["ipmi_priv_level"])
	if !ok {
		level = "ADMINISTRATOR"
	}
	if who.priv, ok = privileges[level]; !ok {
		return t, invalid(n, "Invalid privilege level value:%s, the valid value can be one of ADMINISTRATOR, CALLBACK, OPERATOR, USER", level)
	}
	kg, _ := str(info["ipmi_hex_kg_key"])
	if len(kg)%2 != 0 {
		return t, invalid(n, "Number of ipmi_hex_kg_key characters is not even")
	}
	cipher, given := str(info["ipmi_cipher_suite"])
	number := 0
	if given {
		if number, err = strconv.Atoi(strings.TrimSpace(cipher)); err != nil {
			return t, invalid(n, "Invalid cipher suite %s: must be a number.", cipher)
		}
		if version == "1.5" {
			return t, invalid(n, "ipmi_cipher_suite %s can not be used with ipmi_protocol_version 1.5: wanted 2.0.", cipher)
		}
	}
	if who.quirks, err = nodeQuirks(n, builtIn); err != nil {
		return t, err
	}
	t.why = t.unusable(&who, version, bridging, kg, given, number)
	t.who = unique.Make(who)
	return t, nil
}

// unusable finds what is valid for Ironic but cannot be done here, and completes the login.
func (t *target) unusable(who *login, version, bridging, kg string, given bool, number int) error {
	raw, err := hex.DecodeString(kg)
	who.kg = string(raw)
	if given && suites[byte(number&0xff)] != nil && number < 256 {
		who.suite = byte(number) //nolint:gosec // 3 or 17
	}
	addr, perr := netip.ParseAddr(t.host)
	if perr == nil {
		t.addr = netip.AddrPortFrom(addr.Unmap(), t.port)
	}
	switch {
	case version == "1.5":
		return errors.New(`IPMI 1.5 is not built (ipmi_protocol_version is "1.5"): wanted "2.0"`)
	case bridging != "no":
		return fmt.Errorf("bridging is not built (ipmi_bridging is %q): wanted no", bridging)
	case given && who.suite == 0:
		return fmt.Errorf("cipher suite %d is not supported: wanted 17 or 3, the others do not protect the session", number)
	case err != nil:
		return errors.New("ipmi_hex_kg_key holds other characters than hexadecimal digits")
	case len(raw) > 20:
		return fmt.Errorf("ipmi_hex_kg_key has %d bytes: IPMI allows 20", len(raw))
	case len(who.user) > 16:
		return fmt.Errorf("ipmi_username has %d bytes: IPMI allows 16", len(who.user))
	case len(who.password) > 20:
		return fmt.Errorf("ipmi_password has %d bytes: IPMI allows 20", len(who.password))
	case addr.Zone() != "":
		return fmt.Errorf("ipmi_address %s has a zone: wanted an address without", t.host)
	case perr != nil && !hostName(t.host):
		return fmt.Errorf("ipmi_address %q is neither an IP address nor a lower-case host name", t.host)
	case t.port == 0:
		return errors.New("ipmi_port is 0: wanted 1 to 65535")
	default:
		return nil
	}
}

// bridge is rule 7.
func bridge(n *node.Node) (string, error) {
	v, there := n.DriverInfo["ipmi_bridging"]
	if !there {
		return "no", nil
	}
	kind, ok := str(v)
	need, known := map[string][]string{
		"no": nil, "single": {"ipmi_target_channel", "ipmi_target_address"},
		"dual": {"ipmi_target_channel", "ipmi_target_address", "ipmi_transit_channel", "ipmi_transit_address"},
	}[kind]
	if !ok {
		kind = "None"
	}
	if !known {
		return "", invalid(n, "Invalid value for ipmi_bridging: %s, the valid value can be one of: ['no', 'single', 'dual']", kind)
	}
	var missing []string
	for _, key := range need {
		if n.DriverInfo[key] == nil {
			missing = append(missing, "'"+key+"'")
		}
	}
	if len(missing) > 0 {
		return "", invalid(n, "[%s] not provided", strings.Join(missing, ", "))
	}
	return kind, nil
}
