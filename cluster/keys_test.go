// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

var keyA, keyB, keyC = bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32), bytes.Repeat([]byte("c"), 32)

func withKeys(secrets ...[]byte) func(*Config) {
	return func(c *Config) { c.Keys = keysOf(secrets...) }
}

func setKeys(t *testing.T, m *Membership, secrets ...[]byte) {
	t.Helper()
	if err := m.SetKeys(keysOf(secrets...)); err != nil {
		t.Fatal(err)
	}
	if err := m.TellKeys(); err != nil {
		t.Fatal(err)
	}
}

// told keeps what is logged.
type told struct{ syncBuffer }

func (w *told) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		all := w.String()
		if strings.Contains(all, text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not told: %s\n%s", text, all)
		}
	}
}

// L3: the key of a running gossip is replaced member by member, and nobody is missed; then the old key opens nothing.
func TestKeysAreReplaced(t *testing.T) {
	a := start(t, "a", 1, withKeys(keyA))
	b := start(t, "b", 2, func(c *Config) { withKeys(keyA)(c); peers(a)(c) })
	sees(t, a, "a", "b")
	incarnations := func() (out []uint64) {
		for _, m := range a.View().Members {
			out = append(out, m.Incarnation)
		}
		return out
	}
	was := incarnations()
	for _, keys := range [][][]byte{{keyA, keyB}, {keyB, keyA}, {keyB}} {
		for _, m := range []*Membership{a, b} {
			setKeys(t, m, keys...)
			sees(t, a, "a", "b")
			sees(t, b, "a", "b")
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) { // what it says now is heard: so the keys fit
			if x, _ := a.View().Find("b"); x.Keys == ids(keysOf(keys...)) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("a does not hear that b knows %d keys", len(keys))
			}
		}
	}
	if got := incarnations(); !slices.Equal(got, was) {
		t.Errorf("somebody was lost meanwhile: %v, then %v", was, got)
	}
	c := start(t, "c", 3, func(c *Config) { withKeys(keyA)(c); peers(a)(c) })
	d := start(t, "d", 4, func(c *Config) { withKeys(keyB)(c); peers(a)(c) })
	sees(t, d, "a", "b", "d")
	sees(t, c, "c")
}

// Who knows both keys but begins with the one that the others have dropped is heard after a while; who knows the old one alone
// is let in by nobody, although those who still know it too could hear it, and both sides say which key is missing.
func TestWhoKnowsTheKeyIsHeard(t *testing.T) {
	var log told
	logged := func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	a := start(t, "a", 1, func(c *Config) { withKeys(keyB, keyA)(c); logged(c) })
	b := start(t, "b", 2, func(c *Config) { withKeys(keyA)(c); peers(a)(c); logged(c) })
	log.wait(t, `a conductor does not know the cluster key in use`)
	log.wait(t, "name=b")
	log.wait(t, "its_keys=61616161 wanted=62626262")
	log.wait(t, "keys_here=61616161")
	sees(t, b, "b")
	sees(t, a, "a")
	setKeys(t, a, keyB)
	c := start(t, "c", 3, func(c *Config) { withKeys(keyA, keyB)(c); peers(a)(c) })
	sees(t, c, "a", "c")
	sees(t, a, "a", "c")
}

// Whatever set is asked for, the ring holds it and nothing else, the first one first.
func TestKeyring(t *testing.T) {
	var k keyring
	if ring, err := k.fill(nil); ring != nil || err != nil || k.primary() != "" {
		t.Errorf("no keys make %v, %v", ring, err)
	}
	if err := k.set(keysOf(keyA)); err == nil || !strings.Contains(err.Error(), "in clear") {
		t.Errorf("a key for gossip in clear: %v", err)
	}
	ring, err := k.fill(keysOf(keyA))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][][]byte{{keyA, keyB, keyC}, {keyC, keyA}, {keyB}, {keyA, keyB, keyC}, {keyB, keyC}, {keyA}} {
		if err := k.set(keysOf(want...)); err != nil {
			t.Fatal(err)
		}
		if got := ring.GetKeys(); len(got) != len(want) || !bytes.Equal(got[0], want[0]) || k.primary() != keysOf(want[0])[0].ID {
			t.Errorf("%q became %q", want, got)
		}
	}
	if err := k.set(nil); err == nil {
		t.Error("no key was taken")
	}
	if err := k.set(keysOf(keyA, []byte("short"))); err == nil {
		t.Error("a short key was taken")
	}
}
