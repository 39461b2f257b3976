// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	here  = "127.0.0.1"
	there = "127.0.0.2"
	long  = 30 * time.Second       // nothing takes so long
	quiet = 100 * time.Millisecond // for so long nothing may come
)

var out, back = Way{here, there}, Way{there, here}

// far is the other host: what it accepts.
func far(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", there+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func newSwitch(t *testing.T) *Switch {
	t.Helper()
	s := New(here)
	t.Cleanup(s.Close)
	return s
}

// connected is both ends of a connection through a switch.
func connected(t *testing.T, s *Switch) (near, other net.Conn) {
	t.Helper()
	ln := far(t)
	near, err := s.Dial(t.Context(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if near.RemoteAddr().String() != ln.Addr().String() {
		t.Errorf("the far side is at %s, wanted %s", near.RemoteAddr(), ln.Addr())
	}
	other, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); other.Close() })
	return near, other
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// reads fails the test unless exactly this comes next.
func reads(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v, wanted %q", b[:n], err, want)
	}
}

// silent fails the test if something comes, be it the end.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v, wanted nothing", b[:n], err)
	}
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
		t.Fatalf("got %q, %v, wanted the end", b, err)
	}
}

func TestEachDirectionIsCutByItself(t *testing.T) {
	s := newSwitch(t)
	near, other := connected(t, s)
	write(t, near, "one")
	reads(t, other, "one")

	s.Set(out)
	write(t, near, "two")
	write(t, near, "three")
	silent(t, other)
	write(t, other, "four")
	reads(t, near, "four")

	s.Set(back)
	reads(t, other, "twothree")
	write(t, other, "five")
	silent(t, near)
	write(t, near, "six")
	reads(t, other, "six")

	s.Set(out, back)
	write(t, near, "seven")
	silent(t, near)
	silent(t, other)

	s.Set()
	reads(t, near, "five")
	reads(t, other, "seven")
}

func TestOtherHostsHearOn(t *testing.T) {
	s := newSwitch(t)
	near, other := connected(t, s)
	s.Set(Way{here, "127.0.0.3"}, Way{"127.0.0.3", here}, Way{"127.0.0.3", there})
	write(t, near, "one")
	reads(t, other, "one")
	write(t, other, "two")
	reads(t, near, "two")
	if !s.Lost("127.0.0.3:1") || s.Lost(there+":1") {
		t.Errorf("a datagram to 127.0.0.3 is lost %v, to %s %v", s.Lost("127.0.0.3:1"), there, s.Lost(there+":1"))
	}
}

// TestEndsAreNotHeardThroughACut: neither side learns that the other one has closed, until the cut is over.
func TestEndsAreNotHeardThroughACut(t *testing.T) {
	s := newSwitch(t)
	for _, way := range []Way{out, back} {
		from, to := connected(t, s)
		if way == back {
			from, to = to, from
		}
		s.Set(way)
		write(t, from, "last words")
		from.Close()
		silent(t, to)
		s.Set()
		reads(t, to, "last words")
		ends(t, to)
	}

	near, other := connected(t, s)
	s.Set(back)
	if err := other.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	other.Close() // a reset
	write(t, near, "nobody")
	silent(t, near)
	s.Set()
	ends(t, near)
}

// TestWritesWaitForRoom: during a cut the buffers take some, and then a write waits until its deadline.
func TestWritesWaitForRoom(t *testing.T) {
	s := newSwitch(t)
	near, other := connected(t, s)
	s.Set(out)
	write(t, near, "small")
	big := bytes.Repeat([]byte("0123456789"), 1<<20)
	type written struct {
		n   int
		err error
	}
	done := make(chan written)
	go func() { n, err := near.Write(big); done <- written{n, err} }()
	select {
	case w := <-done:
		t.Fatalf("wrote %d bytes through a cut, %v", w.n, w.err)
	case <-time.After(quiet):
	}
	if err := near.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	w := <-done
	if !errors.Is(w.err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d bytes, %v", w.n, w.err)
	}
	s.Set()
	reads(t, other, "small"+string(big[:w.n]))
}

func TestANewConnectionWaits(t *testing.T) {
	s := newSwitch(t)
	ln := far(t)
	for _, way := range []Way{out, back} { // it takes both
		s.Set(way)
		ctx, cancel := context.WithTimeout(t.Context(), quiet)
		c, err := s.Dial(ctx, ln.Addr().String())
		cancel()
		var e net.Error
		if err == nil || !errors.As(err, &e) || !e.Timeout() {
			t.Fatalf("%v, %v, wanted a timeout", c, err)
		}
	}
	done := make(chan error)
	go func() {
		c, err := s.Dial(t.Context(), ln.Addr().String())
		if err == nil {
			c.Close()
		}
		done <- err
	}()
	s.Set()
	if err := <-done; err != nil {
		t.Error(err)
	}
	at := ln.Addr().String()
	ln.Close()
	if _, err := s.Dial(t.Context(), at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
}

func TestRelay(t *testing.T) {
	s := newSwitch(t)
	ln := far(t)
	at, err := s.Relay(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Relay(ln.Addr().String()); err != nil || again != at {
		t.Errorf("another time it is %s, %v, wanted %s", again, err, at)
	}
	near, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	write(t, near, "one")
	reads(t, other, "one")
	s.Set(back)
	write(t, other, "two")
	silent(t, near)
	s.Set()
	reads(t, near, "two")
	near.Close()
	ends(t, other)
	ln.Close()
	if near, err = net.Dial("tcp", at); err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	ends(t, near) // nobody is there
}

func TestCloseEndsAll(t *testing.T) {
	s := newSwitch(t)
	near, other := connected(t, s)
	ln := far(t)
	if _, err := s.Relay(ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	s.Set(out, back)
	s.Close()
	ends(t, near)
	ends(t, other)
	if c, err := s.Dial(t.Context(), ln.Addr().String()); err == nil {
		t.Errorf("there is a new connection, %v", c)
	}
	if at, err := s.Relay("127.0.0.2:1"); err == nil {
		t.Errorf("there is a new relay at %s", at)
	}
}

func TestFollow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cuts")
	say := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	say("nonsense")
	if s, err := Follow(here, file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "wanted FROM TO") {
		t.Fatalf("%v, %v", s, err)
	}
	if s, err := Follow("here", file, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "wanted an IP address") {
		t.Fatalf("%v, %v", s, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s, err := Follow(here, file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	becomes := func(want bool) {
		t.Helper()
		for end := time.Now().Add(long); s.Lost(there+":1") != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s is cut: %v, wanted %v", there, !want, want)
			}
		}
	}
	becomes(false)
	say(Text([]Way{out}))
	becomes(true)
	say("nonsense")
	time.Sleep(5 * look)
	becomes(true) // the last that made sense
	say(Text([]Way{back, {here, "127.0.0.3"}}))
	becomes(false)
	say(Text([]Way{out, back}))
	becomes(true)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	becomes(false)
	again, err := Parse(Text([]Way{out, back}))
	if err != nil || !slices.Equal(again, []Way{out, back}) {
		t.Errorf("%v, %v", again, err)
	}
}

// TestNormalFerriteHasNoSwitch: it is no part of the binary, unless somebody builds it in.
func TestNormalFerriteHasNoSwitch(t *testing.T) {
	for tags, want := range map[string]bool{"": false, "cuttable": true} {
		list, err := exec.Command("go", "list", "-deps", "-tags", tags, "ferrite/cmd/ferrite").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, list)
		}
		if has := slices.Contains(strings.Fields(string(list)), "ferrite/internal/cut"); has != want {
			t.Errorf("built with tags %q it has the switch: %v, wanted %v", tags, has, want)
		}
	}
}
