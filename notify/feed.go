// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"time"

	"ferrite/node"
)

// Outgoing is an event as the log hands it over, in order of (Rev, Index).
type Outgoing struct {
	Rev   node.Rev
	Index int // place among the events of its entry
	Message
}

// Feed is the outbox of the log and the record of how far this publisher got (N2).
type Feed interface {
	// Next returns up to max events after (afterRev, afterIndex), oldest first, and waits for one when there is none.
	// It returns an error when ctx ends.
	Next(ctx context.Context, afterRev node.Rev, afterIndex, max int) ([]Outgoing, error)
	// Cursor is the place of the last event known to be published; 0, 0 = none.
	Cursor() (node.Rev, int)
	// SetCursor commits that place. It should refuse to move it backwards: a former leader may come late.
	SetCursor(ctx context.Context, rev node.Rev, index int) error
}

// Packet is an event ready for the wire.
type Packet struct {
	Subject string
	ID      string // message_id, header Nats-Msg-Id
	Place   string // "revision.index", header Ferrite-Rev
	Node    string // UUID, header Ironic-Node; "" = no such header
	Body    []byte // complete
}

// Bus carries packets. Connect returns the one that speaks NATS. A Bus is used by one goroutine.
type Bus interface {
	// Publish hands a packet over, connecting first when there is no connection; it may return before the packet has
	// arrived. An error that is ErrRefused concerns this packet alone. After any other error nothing more may be
	// published before Reset.
	Publish(ctx context.Context, p Packet) error
	// Confirm returns nil once the server has taken every packet since the last Confirm or Reset. What has arrived
	// when it fails is a prefix of them.
	Confirm(ctx context.Context) error
	// Reset drops the connection with all that is under way; the next Publish connects anew.
	Reset()
}

// ErrRefused is a packet that will never be taken, however often it is sent: too big, or a subject that is none.
var ErrRefused = errors.New("refused for good")

// Clock is the time for pauses and for the cursor. Tests bring their own.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once in a goroutine of its own after d, unless stopped before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
