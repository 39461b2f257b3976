// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"testing"

	"ferrite/internal/udpbatch"
)

func TestEchoLosesNothing(t *testing.T) {
	s, err := EchoServer("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := udpbatch.Listen("0.0.0.0:0", udpbatch.Options{Buffer: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		n, err := echoRound(c, netip.MustParseAddr("127.3.0.1"), s.LocalAddr().Port(), 2000, 256)
		if err != nil || n != 2000 {
			t.Fatalf("%d answers, %v", n, err)
		}
	}
}

func TestFoldedHostsAreCounted(t *testing.T) {
	out := "----------------\n127.1.0.[1-255],127.1.1.[0-9,12],127.1.19.7\n----------------\n off\n"
	if n := folded(out); n != 255+11+1 {
		t.Errorf("%d hosts, wanted 267", n)
	}
}
