// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestElsewhereTakesTheNextPort(t *testing.T) {
	taken := map[string]bool{"h:6385": true, "h:6386": true}
	use := func(a string) error {
		if taken[a] {
			return &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
		}
		return nil
	}
	got, moved, err := elsewhere("h:6385", use)
	if got != "h:6387" || !moved || err != nil {
		t.Errorf("%s %t %v", got, moved, err)
	}
	got, moved, err = elsewhere("h:7000", use)
	if got != "h:7000" || moved || err != nil {
		t.Errorf("a free port: %s %t %v", got, moved, err)
	}
}

func TestElsewhereAsksForAnyPortInTheEnd(t *testing.T) {
	var tried []string
	got, moved, err := elsewhere("h:65530", func(a string) error {
		tried = append(tried, a)
		if strings.HasSuffix(a, ":0") {
			return nil
		}
		return syscall.EADDRINUSE
	})
	if got != "h:0" || !moved || err != nil || len(tried) != 7 {
		t.Errorf("%s %t %v after %v", got, moved, err, tried)
	}
}

func TestElsewhereGivesUpOnOtherErrors(t *testing.T) {
	n := 0
	_, _, err := elsewhere("h:80", func(string) error { n++; return syscall.EACCES })
	if !errors.Is(err, syscall.EACCES) || n != 1 {
		t.Errorf("%v after %d tries", err, n)
	}
	for _, a := range []string{"", "h", "h:x", "h:-1", "h:65536"} {
		_, _, err := elsewhere(a, func(string) error { t.Errorf("%q was tried", a); return nil })
		if u := (usageError{}); !errors.As(err, &u) || !strings.Contains(err.Error(), strconv.Quote(a)) {
			t.Errorf("%q: %v", a, err)
		}
	}
}

// TestQuietPorts: no port comes twice, none is one that somebody holds, and none is among those that anybody gets by chance.
func TestQuietPorts(t *testing.T) {
	var q quietPorts
	first, err := q.next("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := net.SplitHostPort(first)
	port, _ := strconv.Atoi(text)
	held, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstQuiet+(port+1-firstQuiet)%quietCount)) // the one after it
	if err == nil {
		defer held.Close()
	}
	seen := map[string]bool{first: true}
	for range 100 {
		at, err := q.next("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatalf("a port that is taken: %v", err)
		}
		defer l.Close()
		_, text, _ := net.SplitHostPort(at)
		if port, _ := strconv.Atoi(text); seen[at] || port < firstQuiet || port >= 20000 { // Linux gives those from 32768 on, unless told otherwise
			t.Errorf("%s: given out before %t", at, seen[at])
		}
		seen[at] = true
	}
	if _, err := q.next("192.0.2.1"); err == nil || errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address that is not ours: %v", err)
	}
}
