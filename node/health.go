// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// States of a machine's health, each worse than the one before.
const (
	HealthOK       = "ok"
	HealthWarning  = "warning"
	HealthCritical = "critical"
)

// HealthStates lists them, the worst last.
func HealthStates() []string { return []string{HealthOK, HealthWarning, HealthCritical} }

// Health is the worst that a machine's sensors said when they were read last. It is kept in memory alone: no rule depends on it.
type Health struct {
	State   string    // one of HealthStates
	At      time.Time // when they were read
	Sensors []string  // ids of those that are not ok, the worst first, mostNamed at most
}

// mostNamed bounds the sensors that a Health names: each node of a fleet has one.
const mostNamed = 8

// brokenStates is what the states of discrete sensors say of the machine, in the words of Sensor.States: those alone which say
// that something is broken now. Others may be as they should (a drive bay that is empty, a redundancy that nobody has
// bought), or are over (a watchdog that bit once).
var brokenStates = map[string]string{
	// generic (IPMI v2.0, table 42-2)
	"Predictive Failure asserted":                    HealthWarning,
	"Limit Exceeded":                                 HealthCritical,
	"transition to Non-Critical from OK":             HealthWarning,
	"transition to Critical from less severe":        HealthCritical,
	"transition to Non-recoverable from less severe": HealthCritical,
	"transition to Non-Critical from more severe":    HealthWarning,
	"transition to Critical from Non-recoverable":    HealthCritical,
	"transition to Non-recoverable":                  HealthCritical,
	"transition to Degraded":                         HealthWarning,
	"Redundancy Lost":                                HealthWarning,
	"Redundancy Degraded":                            HealthWarning,
	"Redundancy Degraded from Fully Redundant":       HealthWarning,
	"Redundancy Degraded from Non-redundant":         HealthWarning,
	"Non-redundant (Insufficient Resources)":         HealthCritical,
	// of a sensor type (table 42-3)
	"IERR":                      HealthCritical, // processor
	"Thermal Trip":              HealthCritical,
	"FRB1/BIST failure":         HealthCritical,
	"FRB2/Hang in POST failure": HealthCritical,
	"FRB3/Processor Startup/Initialization failure (CPU didn't start)": HealthCritical,
	"SM BIOS 'Uncorrectable CPU-complex Error'":                        HealthCritical,
	"Machine Check Exception (Uncorrectable)":                          HealthCritical,
	"Processor Automatically Throttled":                                HealthWarning,
	"Configuration error":                                              HealthWarning, // power supply, memory
	"Power Supply Failure detected":                                    HealthCritical,
	"Predictive Failure":                                               HealthWarning, // power supply, power unit, drive
	"Power Supply input lost (AC/DC)":                                  HealthCritical,
	"Power Supply input lost or out-of-range":                          HealthCritical,
	"Power Supply input out-of-range, but present":                     HealthWarning,
	"AC lost / Power input lost":                                       HealthCritical, // power unit
	"Soft Power Control Failure":                                       HealthCritical,
	"Power Unit Failure detected":                                      HealthCritical,
	"Uncorrectable ECC / other uncorrectable memory error":             HealthCritical, // memory
	"Parity":                          HealthCritical,
	"Memory Scrub Failed (stuck bit)": HealthCritical,
	"Critical Overtemperature":        HealthCritical,
	"Memory Automatically Throttled":  HealthWarning,
	"Correctable ECC / other correctable memory error logging limit reached": HealthWarning,
	"Drive Fault":                      HealthCritical, // drive
	"In Critical Array":                HealthWarning,
	"In Failed Array":                  HealthCritical,
	"Fault Status asserted":            HealthCritical, // slot
	"Sensor failure":                   HealthWarning,  // of the BMC itself
	"FRU failure":                      HealthWarning,
	"battery low (predictive failure)": HealthWarning,
	"battery failed":                   HealthCritical,
}

// BrokenStates lists the words of Sensor.States that Judge knows.
func BrokenStates() []string { return slices.Sorted(maps.Keys(brokenStates)) }

// Judge is what a sensor says of its machine: one of HealthStates, "" = nothing, it was not read.
func (s *Sensor) Judge() string {
	switch {
	case !s.Known:
		return ""
	case strings.HasSuffix(s.Status, "Non-Critical"):
		return HealthWarning
	case strings.HasSuffix(s.Status, "Critical"), strings.HasSuffix(s.Status, "Non-Recoverable"):
		return HealthCritical
	}
	worst := HealthOK
	for _, state := range s.States {
		if v := brokenStates[strings.TrimSpace(state)]; severity(v) > severity(worst) {
			worst = v
		}
	}
	return worst
}

// severity orders states of health; what is none comes first.
func severity(state string) int { return slices.Index(HealthStates(), state) }

// HealthOf sums up what a machine's sensors said; nil = nothing.
func HealthOf(all []Sensor, at time.Time) *Health {
	by := map[string][]string{}
	for i := range all {
		if v := all[i].Judge(); v != "" {
			by[v] = append(by[v], all[i].ID)
		}
	}
	bad := slices.Concat(by[HealthCritical], by[HealthWarning])
	switch h := (&Health{At: at, Sensors: slices.Clone(bad[:min(len(bad), mostNamed)])}); {
	case len(by) == 0:
		return nil
	case len(by[HealthCritical]) > 0:
		h.State = HealthCritical
		return h
	case len(bad) > 0:
		h.State = HealthWarning
		return h
	default:
		h.State = HealthOK
		return h
	}
}
