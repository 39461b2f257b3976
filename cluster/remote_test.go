// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

// Several of protoactor's remotes in one process race in the library (its Start sets gRPC's logger), so that these run
// without the race detector: by a plain go test, and in a step of its own of make test.

package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"ferrite/internal/cut"
)

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

// A call through a cut cable has no answer; once it is mended, one of the next has, over the same remotes.
func TestRemoteThroughACable(t *testing.T) {
	hosts := []string{"127.79.1.1", "127.79.1.2"}
	var rs []*Router
	var cables []*cut.Switch
	for _, h := range hosts {
		s := cut.New(h)
		t.Cleanup(s.Close)
		tr, err := RemoteThrough(s, h+":0", nil)
		if err != nil {
			t.Fatal(err)
		}
		r := NewRouter(tr, echo)
		t.Cleanup(func() { _ = r.Close() })
		rs, cables = append(rs, r), append(cables, s)
	}
	set := func(ways ...cut.Way) {
		for _, s := range cables {
			s.Set(ways...)
		}
	}
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := rs[0].Call(ctx, rs[1].t.Addr(), []byte("call"))
		return err
	}
	callsFindTheirAnswers(t, rs[0], rs[1].t.Addr())
	callsFindTheirAnswers(t, rs[1], rs[0].t.Addr())
	for _, way := range []cut.Way{{From: hosts[0], To: hosts[1]}, {From: hosts[1], To: hosts[0]}} {
		set(way)
		if err := ask(200 * time.Millisecond); !errors.Is(err, ErrLost) {
			t.Errorf("from %s nothing comes, but a call ends with %v", way, err)
		}
		set()
		for end := time.Now().Add(60 * time.Second); ask(5*time.Second) != nil; {
			if time.Now().After(end) {
				t.Fatalf("from %s nothing comes any more", way)
			}
		}
	}
}
