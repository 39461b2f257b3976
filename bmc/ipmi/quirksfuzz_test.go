// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"
	"testing"

	"ferrite/node"
)

// FuzzQuirks: whatever a setting and a node say of quirks, it is refused with the word, or sets known ones; the rest of the
// vendors keeps its own.
func FuzzQuirks(f *testing.F) {
	for _, s := range [][2]string{
		{"Supermicro:none", "+padding"},
		{"acme: padding+password16", "-suite3, +noprobe"},
		{"acme:", ""},
		{":", ","},
		{"a:b:c", "none,none"},
		{"acme:-padding", "--padding"},
		{"acme:+", "+"},
		{"acme padding", "sun21"},
		{"\xff:none", "\x00"},
	} {
		f.Add(s[0], s[1])
	}
	known := quirk(0)
	for _, k := range quirkNames {
		known |= k.bit
	}
	f.Fuzz(func(t *testing.T, setting, own string) {
		vendors, err := vendorQuirks([]string{setting})
		vendor, _, named := strings.Cut(setting, ":")
		if vendor = strings.ToLower(strings.TrimSpace(vendor)); err == nil && (!named || vendor == "") {
			t.Fatalf("%q names no vendor and was taken", setting)
		}
		if err != nil {
			vendors = builtIn
		}
		for name, q := range builtIn {
			if name != vendor && vendors[name] != q {
				t.Errorf("%q changed %s", setting, name)
			}
		}
		n := &node.Node{Properties: map[string]any{"vendor": vendor}, DriverInfo: map[string]any{"ipmi_quirks": own}}
		if q, err := nodeQuirks(n, vendors); err != nil && !strings.Contains(err.Error(), "wanted some of") || q&^known != 0 {
			t.Errorf("vendor %q and %q: %b, %v", vendor, own, q, err)
		}
	})
}
