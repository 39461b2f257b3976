// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestGuessingIsSlowedPerAddress(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBackoff()
	b.now = func() time.Time { return now }
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range freeFailures {
		b.failed(bad)
	}
	if w := b.wait(bad); w != 0 {
		t.Fatalf("%d mistakes cost %s, wanted nothing", freeFailures, w)
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		b.failed(bad)
		if got := b.wait(bad); got != want*time.Second {
			t.Fatalf("failure %d: wait %s, wanted %s", i, got, want*time.Second)
		}
		now = now.Add(want * time.Second)
		if got := b.wait(bad); got != 0 {
			t.Fatalf("failure %d: still %s to wait after the pause", i, got)
		}
	}
	if b.wait(good) != 0 {
		t.Error("another address waits too")
	}
	b.succeeded(bad)
	if b.failed(bad); b.wait(bad) != 0 {
		t.Error("a good sign-in did not clear the address")
	}
}

func TestAddressesOfOneMachineCountTogether(t *testing.T) {
	b := newBackoff()
	for i := range freeFailures + 1 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[15] = byte(i)
		b.failed(netip.AddrFrom16(a))
	}
	if b.wait(netip.MustParseAddr("2001:db8::99")) == 0 {
		t.Error("a new address of the same /64 was free")
	}
	if b.wait(netip.MustParseAddr("2001:db8:0:1::1")) != 0 {
		t.Error("another /64 waits")
	}
}

func TestMemoryOfTheBackoffIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBackoff()
	b.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	for i := range maxAddresses + 100 {
		b.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(b.from) != maxAddresses {
		t.Errorf("%d addresses are kept, wanted %d", len(b.from), maxAddresses)
	}
}

// TestAGuesserIsRefusedUnread: in the pause even the right password is refused, but who has signed in before is not locked out.
func TestAGuesserIsRefusedUnread(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("u:"+string(hash)+"\nv:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHtpasswd(file, slog.New(slog.DiscardHandler))
	a := netip.MustParseAddr("192.0.2.1")
	if ok, _ := h.from(a, "u", "right"); !ok {
		t.Fatal("the right password was refused")
	}
	for range freeFailures + 1 {
		if ok, _ := h.from(a, "u", "wrong"); ok {
			t.Fatal("a wrong password was taken")
		}
	}
	if ok, wait := h.from(a, "v", "right"); ok || wait <= 0 {
		t.Errorf("in the pause: %t, wait %s", ok, wait)
	}
	if ok, _ := h.from(a, "u", "right"); !ok {
		t.Error("who had signed in before is locked out by a guesser behind the same address")
	}
	if ok, _ := h.from(netip.MustParseAddr("192.0.2.9"), "v", "right"); !ok {
		t.Error("another address is locked out")
	}
}

// TestParallelGuesses: many connections guess no faster than one, and requests of one client that begin at once are let in.
func TestParallelGuesses(t *testing.T) {
	h := newHtpasswd(usersFile(t, bcrypt.MinCost), slog.New(slog.DiscardHandler))
	still := time.Now()
	h.guess.now = func() time.Time { return still }
	const clients = 100
	together := func(a netip.Addr, password func(i int) string) (let, wrong, refused int64) {
		var counts [3]atomic.Int64
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				switch ok, wait := h.from(a, "u", password(i)); {
				case ok:
					counts[0].Add(1)
				case wait == 0:
					counts[1].Add(1)
				default:
					counts[2].Add(1)
				}
			})
		}
		all.Wait()
		return counts[0].Load(), counts[1].Load(), counts[2].Load()
	}
	let, wrong, refused := together(netip.MustParseAddr("192.0.2.1"), func(i int) string { return fmt.Sprint("guess ", i) })
	if let != 0 || wrong != freeFailures+1 || refused != clients-wrong {
		t.Errorf("%d guesses: %d let in, %d looked at, %d refused unread; wanted %d looked at", clients, let, wrong, refused, freeFailures+1)
	}
	if let, wrong, refused := together(netip.MustParseAddr("192.0.2.2"), func(int) string { return "right" }); let != clients {
		t.Errorf("%d right sign-ins: %d let in, %d wrong, %d refused", clients, let, wrong, refused)
	}
	if n := len(h.guess.turns); n != 0 {
		t.Errorf("%d addresses are kept that nobody signs in from", n)
	}
}

// TestUnknownUsersTakeAsLong: what an unknown user is compared with costs as much as the hashes of the file.
func TestUnknownUsersTakeAsLong(t *testing.T) {
	for _, cost := range []int{bcrypt.MinCost, 5, 7} {
		h := newHtpasswd(usersFile(t, cost), slog.New(slog.DiscardHandler))
		known, _, _ := h.remembered("u", "wrong")
		unknown, is, _ := h.remembered("nobody", "wrong")
		want, err := bcrypt.Cost(known)
		if got, uerr := bcrypt.Cost(unknown); is || got != want || err != nil || uerr != nil {
			t.Errorf("known %t, cost %d, wanted %d: %v %v", is, got, want, err, uerr)
		}
		if err := bcrypt.CompareHashAndPassword(unknown, []byte("wrong")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			t.Errorf("the comparison was not made: %v", err)
		}
	}
}

// usersFile has the user u with the password "right".
func usersFile(t *testing.T, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), cost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("u:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
