// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"reflect"
	"time"
)

// Refusal is how a BMC refused a login. It is in the node's record so that the next process, or the next conductor that looks
// after the node, knows of it: many BMCs lock an account at the third refusal. It is never written to; make a new one.
type Refusal struct {
	At    time.Time // of the last one, by the wall clock of who was refused
	Times int       // in a row
}

// LoginRefused tells that a BMC has refused the node's login, where no reading of the power sync tells it: the record keeps
// it, and nothing else changes.
type LoginRefused struct {
	Rev     Rev // of the record that the reading was compared under
	Refused *Refusal
}

// MsgName names the message.
func (LoginRefused) MsgName() string { return "LoginRefused" }

// loginRefused notes a refusal.
func (s *step) loginRefused(m LoginRefused) (Decision, error) {
	if m.Rev != s.old.Rev || !s.keepRefusal(m.Refused) { // P3: the login may be another one by now
		return Decision{}, nil
	}
	return s.commit()
}

// keepRefusal takes a refusal into the record and reports whether that changes it; nil says nothing.
func (s *step) keepRefusal(r *Refusal) bool {
	if r == nil || s.old.Refused != nil && s.old.Refused.At.Equal(r.At) {
		return false
	}
	s.n.Refused = r
	return true
}

// loginFields are what a BMC is found and logged in to by; in properties those that choose quirks. Another value ends what a
// refusal says.
var loginFields = struct{ info, properties []string }{
	info: []string{
		"ipmi_address", "ipmi_port", "ipmi_username", "ipmi_password", "ipmi_priv_level", "ipmi_hex_kg_key", "ipmi_cipher_suite",
		"ipmi_protocol_version", "ipmi_quirks",
	},
	properties: []string{"vendor", "ipmi_quirks"},
}

// sameLogin reports whether two versions of a node log in to the same BMC in the same way.
func sameLogin(a, b *Node) bool {
	return a.Driver == b.Driver && sameValues(a.DriverInfo, b.DriverInfo, loginFields.info) && sameValues(a.Properties, b.Properties, loginFields.properties)
}

func sameValues(a, b map[string]any, keys []string) bool {
	for _, k := range keys {
		if !reflect.DeepEqual(a[k], b[k]) {
			return false
		}
	}
	return true
}
