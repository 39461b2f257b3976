// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
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
