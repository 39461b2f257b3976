// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"net/netip"
	"strings"
	"testing"
	"unique"

	"ferrite/node"
	"ferrite/sim"
)

var nowhere = netip.MustParseAddrPort("192.0.2.9:623")

func TestQuirksOfANode(t *testing.T) {
	vendors := map[string]quirk{"acme": quirkOpenPriv | quirkSuite3}
	for _, row := range []struct {
		vendor, info, properties any
		want                     quirk
		err                      string
	}{
		{nil, nil, nil, 0, ""},
		{"Acme ", nil, nil, quirkOpenPriv | quirkSuite3, ""},
		{"acme", "padding", nil, quirkPadZero, ""},
		{"acme", "+padding", nil, quirkOpenPriv | quirkSuite3 | quirkPadZero, ""},
		{"acme", "-suite3, +noprobe", nil, quirkOpenPriv | quirkNoProbe, ""},
		{"acme", "none", nil, 0, ""},
		{"acme", "", nil, quirkOpenPriv | quirkSuite3, ""},
		{"acme", nil, "none", 0, ""},
		{"acme", "padding", "none", quirkPadZero, ""},
		{"other", "authcap,idzero", nil, quirkOld, ""},
		{"acme", "sun20,supermicro20", nil, quirkOpenPriv | quirkOld, ""},
		{"acme", "sun21", nil, 0, `"sun21" is no known quirk: wanted some of authcap, `},
		{"acme", 7.0, nil, 0, `"7" is no known quirk`},
	} {
		n := at(nowhere)
		n.Properties = map[string]any{"vendor": row.vendor}
		if row.info != nil {
			n.DriverInfo["ipmi_quirks"] = row.info
		}
		if row.properties != nil {
			n.Properties["ipmi_quirks"] = row.properties
		}
		q, err := nodeQuirks(n, vendors)
		if q != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("vendor %v, driver_info %v, properties %v: %b and %v, wanted %b and %q", row.vendor, row.info, row.properties, q, err, row.want, row.err)
		}
	}
}

func TestQuirksOfVendorsAreSettings(t *testing.T) {
	if builtIn["supermicro"]&^quirkOld != quirkNoChecksum || builtIn["sun microsystems"] != quirkOpenPriv || builtIn["quanta"] != quirkOpenPriv {
		t.Errorf("the table says %v", builtIn)
	}
	q, err := vendorQuirks([]string{"Supermicro:none", "acme: padding+password16"})
	if err != nil || q["supermicro"] != 0 || q["acme"] != quirkPadZero|quirkShort || q["quanta"] != quirkOpenPriv {
		t.Errorf("%v, %v", q, err)
	}
	for given, want := range map[string]string{"acme": "wanted VENDOR:QUIRK", ":padding": "wanted VENDOR:QUIRK", "acme:bad": `"bad" is no known quirk`} {
		c := Defaults()
		c.Quirks = []string{given}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, wanted %q", given, err, want)
		}
	}
}

func TestUnknownQuirkIsInvalid(t *testing.T) {
	e := engine(t, quick())
	if err := e.Driver().Validate.ValidatePower(at(nowhere, "ipmi_quirks", "nonsense")); err == nil || !strings.Contains(err.Error(), "Invalid ipmi_quirks") {
		t.Errorf("validate says %v", err)
	}
}

// Quirks are no new login: a vendor that is found out later does not make the conductor prove a password.
func TestQuirksAreNoNewLogin(t *testing.T) {
	a, b := at(nowhere), at(nowhere, "ipmi_quirks", "padding")
	if newLogin(a, b) {
		t.Error("a quirk counts as a new login")
	}
	if !newLogin(a, at(nowhere, "ipmi_password", "other")) {
		t.Error("a new password does not count as a new login")
	}
}

// What each quirk does on the wire or to the login.
func TestQuirksDo(t *testing.T) {
	e := engine(t, quick())
	login := func(names string, more ...any) login {
		tgt, err := e.target(at(nowhere, append([]any{"ipmi_quirks", names}, more...)...))
		if err != nil {
			t.Fatal(err)
		}
		return tgt.who.Value()
	}
	long := "a password of 20 byt"
	if w := login("password16", "ipmi_password", long); w.password != long[:16] {
		t.Errorf("password16: the password is %q", w.password)
	}
	if w := login("none", "ipmi_password", long); w.password != long {
		t.Errorf("without password16 the password is %q", w.password)
	}
	if w := login("intel20"); w.user != "admin"+strings.Repeat("\x00", 11) {
		t.Errorf("intel20: the user is %q", w.user)
	}
	w := login("opensesspriv")
	h := &handshake{suite: suites[17], who: &w}
	if h.begin(1); h.packet[headerSize+1] != privAdmin {
		t.Errorf("opensesspriv: level %d in the Open Session Request", h.packet[headerSize+1])
	}
	w = login("none")
	if h.begin(1); h.packet[headerSize+1] != 0 {
		t.Errorf("without opensesspriv: level %d in the Open Session Request", h.packet[headerSize+1])
	}
	bad := []byte{0x81, 0x1c, 0x00, 0x20, 0x04, 0x01, 0x00, 0xaa, 0x00}
	if _, ok := parseReply(bad, false); ok {
		t.Error("a wrong checksum passes")
	}
	if r, ok := parseReply(bad, true); !ok || r.data[0] != 0xaa {
		t.Error("nochecksumcheck: a wrong checksum does not pass")
	}
}

// A quirk helps the BMC that has it: pads that are counted from 0, and BMCs that keep 16 bytes of a password.
func TestQuirksHelp(t *testing.T) {
	f, e := fleet(t, nil), engine(t, quick())
	if err := f.BMC(0).SetFault(sim.Padding); err != nil {
		t.Fatal(err)
	}
	if err := pollOnce(t, prepare(t, e, at(f.Addr(0)))); err == nil || !strings.Contains(err.Error(), "its encrypted payload was malformed") {
		t.Errorf("without the quirk: %v", err)
	}
	if err := pollOnce(t, prepare(t, e, at(f.Addr(0), "ipmi_quirks", "padding"))); err != nil {
		t.Errorf("with the quirk: %v", err)
	}
	f.BMC(1).SetPassword("sixteen bytes of")
	n := at(f.Addr(1))
	n.DriverInfo["ipmi_password"] = "sixteen bytes of pas"
	n.Properties = map[string]any{"vendor": "acme"}
	if err := pollOnce(t, prepare(t, e, n)); err == nil {
		t.Error("20 bytes opened a BMC that keeps 16")
	}
	cfg := quick()
	cfg.Quirks = []string{"acme:password16"}
	if err := pollOnce(t, prepare(t, engine(t, cfg), n)); err != nil {
		t.Errorf("with the vendor's quirk: %v", err)
	}
	f.BMC(2).SetPassword("")
	if _, err := e.target(&node.Node{DriverInfo: map[string]any{"ipmi_address": "192.0.2.1"}}); err != nil {
		t.Errorf("no password at all: %v", err)
	}
}

// FreeIPMI's three workarounds of session set-up, against BMCs that FreeIPMI itself opens with them alone
// (sim.TestIpmipowerWorkarounds): with the quirk a session opens in both suites, at the highest level and below it. The
// code that is a byte too long needs no quirk.
func TestQuirksOfSessionSetUp(t *testing.T) {
	f := fleet(t, func(c *sim.Config) { c.Sessions = 32 })
	for i, x := range []struct {
		fault   sim.Fault
		without string // error without the quirk; "" = none
	}{{sim.Supermicro20, ""}, {sim.Sun20, "ipmi_password is wrong"}, {sim.Intel20, "ipmi_username is unknown"}} {
		if err := f.BMC(i).SetFault(x.fault); err != nil {
			t.Fatal(err)
		}
		for _, suite := range []int{3, 17} {
			err := pollOnce(t, prepare(t, engine(t, quick()), at(f.Addr(i), "ipmi_cipher_suite", suite)))
			if (err == nil) != (x.without == "") || err != nil && !strings.Contains(err.Error(), x.without) {
				t.Errorf("%s, suite %d, without the quirk: %v, wanted %q", x.fault, suite, err, x.without)
			}
			// A level below the highest, as the power sweep of a careful operator has: then the levels that are mixed up differ.
			for _, level := range []string{"ADMINISTRATOR", "OPERATOR"} {
				n := at(f.Addr(i), "ipmi_cipher_suite", suite, "ipmi_quirks", string(x.fault), "ipmi_priv_level", level)
				if err := pollOnce(t, prepare(t, engine(t, quick()), n)); err != nil {
					t.Errorf("%s, suite %d, %s, with the quirk: %v", x.fault, suite, level, err)
				}
			}
		}
	}
}

// With suite3, suite 17 is never offered.
func TestSuite3(t *testing.T) {
	b := onTable(t, nil)
	p := b.peer(1)
	b.sh.forget(p.r)
	who := p.r.who.Value()
	who.quirks = quirkSuite3
	p.r.who = uniqueLogin(who)
	p.poll()
	if p.r.hs.suite.id != 3 {
		t.Errorf("suite %d was offered", p.r.hs.suite.id)
	}
}

func uniqueLogin(w login) unique.Handle[login] { return unique.Make(w) }
