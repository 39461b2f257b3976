// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"regexp"
	"strconv"
	"strings"
)

// category is how ironic-prometheus-exporter names the sensors of one type.
type category struct {
	prefix, suffix string
	unit           bool // the reading's unit is the end of the name
	label          func(entry string) string
}

// categories are the types that it knows; others it leaves out, and so do we.
var categories = map[string]category{
	"management":  {prefix: "baremetal_", label: plainLabel},
	"temperature": {prefix: "baremetal_", suffix: "_celsius", label: plainLabel},
	"system":      {prefix: "baremetal_system_", label: plainLabel},
	"current":     {prefix: "baremetal_", label: plainLabel},
	"version":     {prefix: "baremetal_", label: plainLabel},
	"memory":      {prefix: "baremetal_", label: memoryLabel},
	"power":       {prefix: "baremetal_power_", label: plainLabel},
	"watchdog2":   {prefix: "baremetal_", label: plainLabel},
	"fan":         {prefix: "baremetal_", unit: true, label: fanLabel},
	"voltage":     {prefix: "baremetal_voltage_", unit: true, label: voltageLabel},
}

var (
	digits     = regexp.MustCompile(`[0-9]+`)
	fanNumber  = regexp.MustCompile(`fan[0-9]*[a-z]*`)
	brackets   = regexp.MustCompile(`\(.*\)`)
	volts      = regexp.MustCompile(`[0-9+]v|[0-9+].[0-9*]v`)
	noWord     = regexp.MustCompile(`[^A-Za-z0-9_]`)
	underlines = regexp.MustCompile(`_+`)
)

// plainLabel makes "inlet_temp" of "Inlet Temp (0x5)": no digits, and no number behind.
func plainLabel(entry string) string {
	words := strings.Fields(strings.ToLower(digits.ReplaceAllString(entry, "")))
	if len(words) > 0 {
		words = words[:len(words)-1]
	}
	return strings.ReplaceAll(strings.Join(words, "_"), "-", "_")
}

func memoryLabel(entry string) string {
	l := plainLabel(entry)
	if !strings.Contains(l, "mem") {
		l = "memory_" + l
	}
	return l
}

// fanLabel makes "fan" of "Fan4B (0x43)" and "fan_redundancy" of "Fan Redundancy (0x78)".
func fanLabel(entry string) string {
	e := fanNumber.ReplaceAllString(strings.ToLower(entry), "fan")
	return strings.Join(strings.Fields(brackets.ReplaceAllString(e, "")), "_")
}

// voltageLabel makes "b_pg" of "3.3V B PG (0x15)", and nothing of "Voltage 1 (0x6d)", which its prefix says already.
func voltageLabel(entry string) string {
	l := plainLabel(volts.ReplaceAllString(strings.ToLower(entry), ""))
	if strings.Contains("baremetal_voltage_", l) {
		return ""
	}
	return l
}

// gauge is the name and the value of a sensor in ironic-prometheus-exporter's words; ok false = it has none there. kind is
// the first word of the type, entry the sensor's id, reading the field "Sensor Reading".
func gauge(kind, entry, reading string) (name string, value float64, ok bool) {
	c, known := categories[strings.ToLower(kind)]
	words := strings.Fields(reading)
	if !known || len(words) == 0 || reading == "No Reading" || reading == "Disabled" {
		return "", 0, false
	}
	switch {
	case len(words) > 1:
		v, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			return "", 0, false
		}
		value = v
	case reading != "0h": // a discrete sensor with anything to say
		value = 1
	}
	name = c.prefix + c.label(entry) + c.suffix
	if c.unit && len(words) > 1 {
		name += "_" + strings.ToLower(words[len(words)-1])
	}
	return underlines.ReplaceAllString(noWord.ReplaceAllString(name, "_"), "_"), value, true
}
