// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

// TestEndpoint: one BMC has one spelling, whatever the operator wrote. // S15
func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		power string
		info  map[string]any
		want  string
	}{
		{"ipmitool", map[string]any{"ipmi_address": "192.0.2.7"}, "192.0.2.7:623"},
		{"ipmitool", map[string]any{"ipmi_address": " 192.0.2.7 ", "ipmi_port": "0623"}, "192.0.2.7:623"},
		{"ipmitool", map[string]any{"ipmi_address": "::ffff:192.0.2.7", "ipmi_port": 623.0}, "192.0.2.7:623"},
		{"ipmitool", map[string]any{"ipmi_address": "192.0.2.7", "ipmi_port": 6230.0}, "192.0.2.7:6230"},
		{"ipmitool", map[string]any{"ipmi_address": "2001:DB8:0::1"}, "[2001:db8::1]:623"},
		{"ipmitool", map[string]any{"ipmi_address": "BMC7.example."}, "bmc7.example:623"},
		{"ipmitool", map[string]any{"ipmi_address": ""}, ""},
		{"ipmitool", map[string]any{"ipmi_address": 7.0}, ""},
		{"ipmitool", nil, ""},
		{"fake", map[string]any{"ipmi_address": "192.0.2.7"}, ""},
	} {
		if got := Endpoint(&Node{Interfaces: map[string]string{"power": c.power}, DriverInfo: c.info}); got != c.want {
			t.Errorf("%s %v is at %q, wanted %q", c.power, c.info, got, c.want)
		}
	}
}
