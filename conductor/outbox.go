// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"fmt"

	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// Publishers by the name of their cursor.
const (
	natsCursor = "nats"
	novaCursor = "nova"
)

// enter makes a publisher's cursor before anything is published: what waits for it is not trimmed because another was
// faster (N3). from is where it begins.
func enter(ctx context.Context, s persistence.Store, name string, from node.Rev) error {
	if _, ok := s.Get(persistence.Key{Kind: persistence.KindCursor, ID: name}); ok {
		return nil
	}
	if err := s.SetCursor(ctx, name, from, 0); err != nil { // one that another conductor made meanwhile stays
		return fmt.Errorf("the cursor of publisher %s: %w", name, err)
	}
	return nil
}

// leave takes the cursor of a publisher away that does not run any more, so that nothing waits for it.
func leave(ctx context.Context, s persistence.Store, name string) error {
	key := persistence.Key{Kind: persistence.KindCursor, ID: name}
	r, ok := s.Get(key)
	if !ok {
		return nil
	}
	_, err := s.Commit(ctx, persistence.Tx{If: []persistence.Cond{{Key: key, Rev: r.Rev}}, Del: []persistence.Key{key}})
	if err != nil {
		return fmt.Errorf("the cursor of publisher %s: %w", name, err)
	}
	return nil
}

// kept is the outbox as the API shows it.
type kept struct {
	store   persistence.Store
	cluster string
}

// Applied is the newest revision in the local replica.
func (k kept) Applied() node.Rev { return k.store.Applied() }

// Kept gives NATS's events at or after a place, without waiting for more.
func (k kept) Kept(rev node.Rev, index, limit int) ([]notify.Packet, error) {
	now, cancel := context.WithCancel(context.Background())
	cancel() // what is there now, and no waiting
	var out []notify.Packet
	for after := index - 1; ; {
		events, err := k.store.Outbox(now, rev, after, limit)
		if errors.Is(err, context.Canceled) {
			return out, nil
		}
		if err != nil || len(events) == 0 {
			return out, err
		}
		for _, e := range events {
			rev, after = e.Rev, e.Index
			if notify.Internal(e.Subject) || len(out) == limit {
				continue
			}
			out = append(out, notify.Seal(k.cluster, outgoing(e)))
		}
		if len(out) == limit {
			return out, nil
		}
	}
}

// outgoing is an event as package notify has it.
func outgoing(e persistence.Outgoing) notify.Outgoing {
	return notify.Outgoing{Rev: e.Rev, Index: e.Index, Message: notify.Message{Subject: e.Subject, Node: e.Node, Body: e.Body}}
}
