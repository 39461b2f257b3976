// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

// Several of protoactor's remotes in one process race in the library (its Start sets gRPC's logger), so that these run
// without the race detector; the tests of whole processes run the same code.

package cluster

import "testing"

// The same over protoactor's remote; one of the two is started before the other is heard of.
func TestRemote(t *testing.T) {
	var rs []*Router
	for range 2 {
		tr, err := Remote("127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		r := NewRouter(tr, echo)
		t.Cleanup(func() { _ = r.Close() })
		rs = append(rs, r)
	}
	callsFindTheirAnswers(t, rs[0], rs[1].t.Addr())
	callsFindTheirAnswers(t, rs[1], rs[0].t.Addr())
}

func TestATakenRemotePortIsNamed(t *testing.T) {
	tr, err := Remote("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := Remote(tr.Addr(), nil); err == nil {
		t.Error("a second one listens at the same place")
	}
	if _, err := Remote("here", nil); err == nil {
		t.Error("\"here\" is no address")
	}
}
