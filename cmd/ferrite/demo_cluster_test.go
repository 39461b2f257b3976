// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"ferrite/client"
)

func TestWhoIsKilled(t *testing.T) {
	for want, m := range map[string]client.Member{
		"c1, the log's leader, with 11 nodes": {Name: "c1", Role: "leader", Nodes: 11},
		"c2 with 1 node":                      {Name: "c2", Role: "voter", Nodes: 1},
		"c3 with 0 nodes":                     {Name: "c3", Role: "non-voter"},
	} {
		if got := presented(m); got != want {
			t.Errorf("%q, wanted %q", got, want)
		}
	}
}
