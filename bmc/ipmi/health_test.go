// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"
	"testing"

	"ferrite/node"
)

// Package node judges states by the words that this package has for them: each word that it knows must be one of ours.
func TestHealthKnowsOurWords(t *testing.T) {
	judged := map[string]string{}
	for kind := range byte(0x2d) {
		for _, reading := range []byte{2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0x6f} {
			for offset := range byte(15) {
				name := strings.TrimSpace(stateName(kind, reading, offset))
				s := node.Sensor{Known: true, States: []string{name}}
				if v := s.Judge(); name != "" && v != node.HealthOK {
					judged[name] = v
				}
			}
		}
	}
	if want := node.BrokenStates(); len(judged) != len(want) {
		for _, name := range want {
			if judged[name] == "" {
				t.Errorf("package node judges %q, which no sensor says", name)
			}
		}
	}
	for _, w := range statusWords {
		s := node.Sensor{Known: true, Status: w.text}
		if v := s.Judge(); v == node.HealthOK || (v == node.HealthWarning) != strings.HasSuffix(w.text, "Non-Critical") {
			t.Errorf("%s is %q", w.text, v)
		}
	}
}
