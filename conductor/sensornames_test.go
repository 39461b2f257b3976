// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import "testing"

// TestGaugeNames: names and values as ironic-prometheus-exporter's own tests have them (its tests/data.json,
// tests/test_ipmi_parser.py, metrics_information/ipmi.json).
func TestGaugeNames(t *testing.T) {
	for _, x := range []struct {
		kind, entry, reading string
		name                 string
		value                float64
	}{
		{"Management", "Front LED Panel (0x23)", "0h", "baremetal_front_led_panel", 0},
		{"Temperature", "Inlet Temp (0x5)", "21 (+/- 1) degrees C", "baremetal_inlet_temp_celsius", 21},
		{"Temperature", "Exhaust Temp (0x6)", "36 (+/- 1) degrees C", "baremetal_exhaust_temp_celsius", 36},
		{"Temperature", "Temp (0x1)", "44 (+/- 1) degrees C", "baremetal_temp_celsius", 44},
		{"System", "POST Err (0x1e)", "No Reading", "", 0},
		{"System", "Unknown (0x8)", "0h", "baremetal_system_unknown", 0},
		{"Current", "Pwr Consumption (0x76)", "264 (+/- 0) Watts", "baremetal_pwr_consumption", 264},
		{"Current", "Current 2 (0x6c)", "0.600 (+/- 0) Amps", "baremetal_current", 0.6},
		{"Version", "TPM Presence (0x41)", "2eh", "baremetal_tpm_presence", 1},
		{"Version", "Hdwr version err (0x1f)", "No Reading", "", 0},
		{"Version", "Chassis Mismatch (0x37)", "0h", "baremetal_chassis_mismatch", 0},
		{"Memory", "ECC Corr Err (0x1)", "1h", "baremetal_memory_ecc_corr_err", 1},
		{"Memory", "iDPT Mem Fail (0x2b)", "0h", "baremetal_idpt_mem_fail", 0},
		{"Memory", "B  (0xd6)", "0h", "baremetal_memory_b", 0},
		{"Memory", "USB Over-current (0x1d)", "0h", "baremetal_memory_usb_over_current", 0},
		{"Memory", "Memory Spared (0x11)", "0h", "baremetal_memory_spared", 0},
		{"Memory", "Mem ECC Warning (0x1b)", "Disabled", "", 0},
		{"Power", "PS Redundancy (0x77)", "No Reading", "", 0},
		{"Power", "Status (0x85)", "0h", "baremetal_power_status", 0},
		{"Watchdog2", "OS Watchdog Time (0x23)", "0h", "baremetal_os_watchdog_time", 0},
		{"Fan", "Fan Redundancy (0x78)", "0h", "baremetal_fan_redundancy", 0},
		{"Fan", "Fan4A (0x3b)", "9960 (+/- 120) RPM", "baremetal_fan_rpm", 9960},
		{"Voltage", "Voltage 1 (0x6d)", "232 (+/- 0) Volts", "baremetal_voltage_volts", 232},
		{"Voltage", "3.3V B PG (0x15)", "0h", "baremetal_voltage_b_pg", 0},
		{"Voltage", "5V SW PG (0x10)", "0h", "baremetal_voltage_sw_pg", 0},
		{"Voltage", "MEM012 VDDQ PG (0x24)", "0h", "baremetal_voltage_mem_vddq_pg", 0},
		{"Voltage", "PS1 PG FAIL (0x9)", "0h", "baremetal_voltage_ps_pg_fail", 0},
		{"Voltage", "Pfault Fail Safe (0x5f)", "0h", "baremetal_voltage_pfault_fail_safe", 0},
		{"Unknown", "SD2 (0x7b)", "0h", "", 0},          // a type that it does not know
		{"Drive", "Drive 0 (0x60)", "0h", "", 0},        // likewise
		{"Temperature", "T (0x1)", "", "", 0},           // nothing to read
		{"Fan", "Fan1 (0x1)", "0x2A (+/- 0x00)", "", 0}, // no number
	} {
		name, value, ok := gauge(x.kind, x.entry, x.reading)
		if name != x.name || value != x.value || ok != (x.name != "") {
			t.Errorf("%s %q %q is %s %v, %v: wanted %s %v", x.kind, x.entry, x.reading, name, value, ok, x.name, x.value)
		}
	}
}
