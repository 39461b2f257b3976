// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
)

// A leader that takes the connection and says nothing, as a paused one does, holds up nobody who looks for the next one.
func TestASilentLeaderHoldsUpNobody(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Raft{
		log: slog.New(slog.DiscardHandler), replica: NewMemory(MemoryOptions{}).replica,
		cfg: Config{Name: "c1", Net: &Net{Listener: own, Address: func(string) (string, bool) { return mute.Addr().String(), true }}},
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.port = newPort(s)
	var leads atomic.Bool
	leads.Store(true)
	got := make(chan *line, 1)
	go func() { got <- s.lineTo("c9", leads.Load) }()
	conn, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !s.leader.mu.TryLock() {
		t.Error("the line to the leader is locked while a silent one is dialled")
	} else {
		s.leader.mu.Unlock()
	}
	leads.Store(false)
	if l := <-got; l != nil {
		t.Error("a line to who says nothing")
	}
	_ = conn.Close()
	s.end()
	s.leader.close()
	s.port.close()
}

// What a leader refuses for good is not unknown: the asker need not look for it, and knows the error.
func TestRefusalsAreToldAsSuch(t *testing.T) {
	for _, want := range []error{ErrUnreadable, ErrNoCondition, ErrTooBig, ErrNoMember} {
		told := fmt.Errorf("%w: because", want)
		rev, err := decodeOutcome(encodeOutcome(0, told))
		var refused *refusal
		if rev != 0 || !errors.Is(err, want) || !errors.As(err, &refused) || err.Error() != told.Error() {
			t.Errorf("%v came as %d, %v", told, rev, err)
		}
	}
	if _, err := decodeOutcome([]byte{99, 1, 'x'}); err == nil || err.Error() != "x" {
		t.Errorf("a code of a later version came as %v", err)
	}
}
