// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unique"

	"ferrite/node"
)

// quirk is a set of ways in which a BMC is unlike the standard.
type quirk uint16

const (
	quirkOpenPriv quirk = 1 << iota
	quirkNoChecksum
	quirkPadZero
	quirkPadUser
	quirkShort
	quirkSuite3
	quirkNoProbe
	quirkOld // of FreeIPMI, about what is not spoken here or needs no quirk
)

// quirkNames are the words for them; those that FreeIPMI knows too have its names.
var quirkNames = map[string]struct {
	bit  quirk
	text string
}{
	"opensesspriv":        {quirkOpenPriv, "the privilege level stands in the Open Session Request: the BMC takes its keys from it"},
	"nochecksumcheck":     {quirkNoChecksum, "checksums of messages inside a session are not looked at (the AuthCode is)"},
	"padding":             {quirkPadZero, "the confidentiality pad is counted from another number than 1"},
	"intel20":             {quirkPadUser | quirkOpenPriv, "opensesspriv; the user name is filled up to 16 bytes, and RAKP 3 is made without that and without the name-only bit"},
	"sun20":               {quirkOpenPriv, "opensesspriv; that the code of RAKP 2 is a byte too long does no harm to anybody"},
	"supermicro20":        {quirkOld, "nothing: that the code of RAKP 2 is a byte too long does no harm to anybody"},
	"password16":          {quirkShort, "only the first 16 bytes of the password count"},
	"suite3":              {quirkSuite3, "cipher suite 17 is not offered"},
	"noprobe":             {quirkNoProbe, "questions outside of a session are not answered: a session is tried instead"},
	"authcap":             {quirkOld, "nothing: about IPMI 1.5"},
	"idzero":              {quirkOld, "nothing: about IPMI 1.5"},
	"unexpectedauth":      {quirkOld, "nothing: about IPMI 1.5"},
	"forcepermsg":         {quirkOld, "nothing: about IPMI 1.5"},
	"integritycheckvalue": {quirkOld, "nothing: about cipher suite 0"},
}

//go:embed quirks.txt
var quirkTable string

var builtIn = parseTable(quirkTable)

// parseTable reads the table of quirks; a wrong line in it is a mistake in this package.
func parseTable(text string) map[string]quirk {
	out := map[string]quirk{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		vendor, names, _ := strings.Cut(line, ":")
		q, err := parseQuirks(strings.Fields(names), 0)
		if err != nil {
			panic(err)
		}
		out[strings.TrimSpace(vendor)] = q
	}
	return out
}

// parseQuirks reads names; one with "+" is added to those of before and one with "-" taken away, others stand for
// themselves alone.
func parseQuirks(names []string, before quirk) (quirk, error) {
	var q quirk
	if slices.ContainsFunc(names, func(s string) bool { return s != "" && strings.ContainsRune("+-", rune(s[0])) }) || len(names) == 0 {
		q = before
	}
	for _, name := range names {
		if name == "none" {
			q = 0
			continue
		}
		known, ok := quirkNames[strings.TrimLeft(name, "+-")]
		if !ok {
			return 0, fmt.Errorf("%q is no known quirk: wanted some of %s, or none", name, strings.Join(slices.Sorted(maps.Keys(quirkNames)), ", "))
		}
		if name[0] == '-' {
			q &^= known.bit
		} else {
			q |= known.bit
		}
	}
	return q, nil
}

// vendorQuirks are the built-in quirks with those that the configuration gives instead.
func vendorQuirks(given []string) (map[string]quirk, error) {
	out := maps.Clone(builtIn)
	for _, entry := range given {
		vendor, names, ok := strings.Cut(entry, ":")
		vendor = strings.ToLower(strings.TrimSpace(vendor))
		if !ok || vendor == "" {
			return nil, fmt.Errorf("ipmi.quirks holds %q: wanted VENDOR:QUIRK+QUIRK", entry)
		}
		q, err := parseQuirks(strings.FieldsFunc(names, func(r rune) bool { return r == '+' || r == ' ' }), 0)
		if err != nil {
			return nil, fmt.Errorf("ipmi.quirks for %s: %w", vendor, err)
		}
		out[vendor] = q
	}
	return out, nil
}

// nodeQuirks are a node's: what its driver_info or properties say, else what its vendor has.
func nodeQuirks(n *node.Node, vendors map[string]quirk) (quirk, error) {
	vendor, _ := n.Properties["vendor"].(string)
	q := vendors[strings.ToLower(strings.TrimSpace(vendor))]
	for _, from := range []map[string]any{n.DriverInfo, n.Properties} {
		text, given := str(from["ipmi_quirks"])
		if !given {
			continue
		}
		own, err := parseQuirks(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }), q)
		if err != nil {
			return 0, invalid(n, "Invalid ipmi_quirks: %s", err)
		}
		return own, nil
	}
	return q, nil
}

// target is parseInfo with the engine's own table of quirks, applied to the login.
func (e *Engine) target(n *node.Node) (target, error) {
	t, err := parseInfo(n)
	if err != nil {
		return t, err
	}
	who := t.who.Value()
	if who.quirks, err = nodeQuirks(n, e.quirks); err != nil {
		return t, err
	}
	if who.quirks&quirkShort != 0 && len(who.password) > 16 {
		who.password = who.password[:16]
	}
	if who.quirks&quirkPadUser != 0 && len(who.user) < 16 {
		who.user += strings.Repeat("\x00", 16-len(who.user))
	}
	t.who = unique.Make(who)
	return t, nil
}
