// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"math"
	"strings"

	"ferrite/bmc"
)

// add appends a field.
func add(out *bmc.Sensor, name, value string) {
	out.Fields = append(out.Fields, bmc.Field{Name: name, Value: value})
}

func addHead(out *bmc.Sensor, class, text string, s *sensor) {
	out.Fields = make([]bmc.Field, 0, 20)
	add(out, "Sensor ID", out.ID)
	add(out, "Entity ID", out.Entity)
	add(out, "Sensor Type ("+class+")", fmt.Sprintf("%s (0x%02x)", out.Type, s.kind))
	add(out, "Sensor Reading", text)
}

// statusWords are the crossed thresholds, the worst first, by their bit in a reading.
var statusWords = []struct {
	bit  byte
	text string
}{
	{1 << 2, "Lower Non-Recoverable"},
	{1 << 5, "Upper Non-Recoverable"},
	{1 << 1, "Lower Critical"},
	{1 << 4, "Upper Critical"},
	{1 << 0, "Lower Non-Critical"},
	{1 << 3, "Upper Non-Critical"},
}

// measured fills in a threshold sensor.
func (s *sensor) measured(out *bmc.Sensor, text string, crossed byte) {
	addHead(out, "Threshold", text, s)
	status := "Not Available"
	if out.Known {
		status = "ok"
		for _, w := range statusWords {
			if crossed&w.bit != 0 {
				status = w.text
				break
			}
		}
	}
	out.Status = status
	add(out, "Status", status)
	if s.full {
		s.addNormal(out)
		s.addLimits(out)
	}
	add(out, "Positive Hysteresis", s.hysteresis(s.hystUp))
	add(out, "Negative Hysteresis", s.hysteresis(s.hystDown))
	if s.full {
		add(out, "Minimum sensor range", s.bound(s.least, [3]byte{0x00, 0xff, 0x80}))
		add(out, "Maximum sensor range", s.bound(s.most, [3]byte{0xff, 0x00, 0x7f}))
	}
	add(out, "Event Message Control", eventControl[s.caps&3])
	switch s.caps >> 2 & 3 {
	case 0:
		add(out, "Readable Thresholds", "No Thresholds")
		add(out, "Settable Thresholds", "No Thresholds")
	case 3:
		add(out, "Readable Thresholds", "Thresholds Fixed")
		add(out, "Settable Thresholds", "Thresholds Fixed")
	default:
		add(out, "Readable Thresholds", thresholds(s.readable))
		add(out, "Settable Thresholds", thresholds(s.settable))
	}
	if s.status != 0 {
		add(out, "Threshold Read Mask", thresholds(s.status))
	}
}

var eventControl = [4]string{"Per-threshold", "Entire Sensor Only", "Global Disable Only", "No Events From Sensor"}

// thresholds lists a mask's in ipmitool's order.
func thresholds(mask byte) string {
	var on []string
	for _, i := range [limits]int{limitLNR, limitLCR, limitLNC, limitUNC, limitUCR, limitUNR} {
		if mask&limitBits[i] != 0 {
			on = append(on, limitShort[i])
		}
	}
	return strings.Join(on, " ")
}

// fixed words a raw value of the record: a number in the sensor's unit, or the raw value.
func (s *sensor) fixed(raw byte) string {
	if s.units[0]>>6 == 3 {
		return fmt.Sprintf("0x%02X", raw)
	}
	return number(s.value(raw), false)
}

func (s *sensor) addNormal(out *bmc.Sensor) {
	for _, x := range []struct {
		bit, raw byte
		name     string
	}{{1, s.nominal, "Nominal Reading"}, {4, s.normMin, "Normal Minimum"}, {2, s.normMax, "Normal Maximum"}} {
		if s.shown&x.bit != 0 {
			add(out, x.name, s.fixed(x.raw))
		}
	}
}

func (s *sensor) addLimits(out *bmc.Sensor) {
	for i, raw := range s.limit {
		if !s.limitsSet || s.readable&limitBits[i] == 0 {
			continue
		}
		add(out, limitNames[i], s.fixed(raw))
		if v := s.value(raw); s.analog() && finite(v) == v {
			if out.Limits == nil {
				out.Limits = map[string]float64{}
			}
			out.Limits[limitNames[i]] = v
		}
	}
}

const unspecified = "Unspecified"

func (s *sensor) hysteresis(raw byte) string {
	switch {
	case raw == 0 || raw == 0xff:
		return unspecified
	case !s.full || s.units[0]>>6 == 3:
		return fmt.Sprintf("0x%02X", raw)
	case s.span(raw, 1) == 0:
		return unspecified
	default:
		return number(s.span(raw, 1), false)
	}
}

// bound is an end of the sensor's range; none says what means "not given" in each format.
func (s *sensor) bound(raw byte, none [3]byte) string {
	format := s.units[0] >> 6
	switch {
	case format == 3:
		return fmt.Sprintf("0x%02X", raw)
	case raw == none[format], s.value(raw) == 0, math.IsNaN(s.value(raw)):
		return unspecified
	default:
		return number(s.value(raw), false)
	}
}

// watched fills in a discrete sensor.
func (s *sensor) watched(out *bmc.Sensor, text string, states [2]byte) {
	addHead(out, "Discrete", text, s)
	add(out, "Event Message Control", eventControl[s.caps&3])
	on, named := uint16(states[0])|uint16(states[1]&0x7f)<<8, false
	for offset := range byte(15) {
		if on&(1<<offset) == 0 {
			continue
		}
		name := stateName(s.kind, s.reading, offset)
		if named = named || name != ""; name == "" {
			name = fmt.Sprintf("state %d", offset)
		}
		out.States = append(out.States, name)
	}
	if named { // the lines of the states themselves have no colon, and Ironic leaves such lines out
		add(out, "States Asserted", out.Type)
	}
	add(out, "OEM", fmt.Sprintf("%X", s.oem))
}
