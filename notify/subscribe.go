// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// AllSubjects takes every notification of the default topic.
const AllSubjects = "ironic_versioned_notifications.>"

// Heard is one notification as a subscriber gets it.
type Heard struct {
	Subject   string
	ID        string // message_id
	Place     string // header Ferrite-Rev, "revision.index"; "" when somebody else sent it
	Node      string // header Ironic-Node: UUID, "" = about no node
	Publisher string // publisher_id
	Event     string // event_type: "baremetal.node.power_set.end"
	Priority  string // upper case: "INFO"
	At        time.Time
	Payload   string         // ironic_object.name: "NodeSetPowerStatePayload"; "" = the event is our own
	Data      map[string]any // ironic_object.data, or the whole payload
	Raw       []byte         // the body
}

// ownEvents begins the types of events that are not Ironic's: "ferrite.bmc_subnet.down".
const ownEvents = "ferrite."

// heardBuffer is how many messages may wait for the callback before NATS's client drops some, which is an error.
const heardBuffer = 64 << 10

// Subscribe calls fn for every notification on a subject (wildcards allowed) of the NATS at url, one after another,
// until ctx ends (then it returns nil) or fn returns an error (then it returns that). ready, if not nil, is called when
// the server has taken the subscription. A NATS that is not there is an error; one that goes away later is waited for.
// A body that is no notification is an error that fn decides about: Heard then has Subject and Raw only.
func Subscribe(ctx context.Context, url, subject string, ready func(), fn func(Heard, error) error) error {
	if err := checkURL(url); err != nil {
		return err
	}
	if subject == "" {
		subject = AllSubjects
	}
	conn, err := nats.Connect(url, nats.Name("ferrite notifications"), nats.Timeout(dialWait), nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		if errors.Is(err, nats.ErrAuthorization) {
			return fmt.Errorf("the NATS server at %s wants another login (%w): put it into the address, nats://user:password@host:port", shown(url), err)
		}
		return fmt.Errorf("wanted a NATS server at %s: %w", shown(url), err)
	}
	defer conn.Close()
	ch := make(chan *nats.Msg, heardBuffer)
	sub, err := conn.ChanSubscribe(subject, ch)
	if err == nil {
		taken, cancel := context.WithTimeout(ctx, confirmWait)
		err = conn.FlushWithContext(taken)
		cancel()
	}
	if err == nil {
		err = conn.LastError()
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("subscribing to %s at %s: %w", subject, url, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends with it
	if ready != nil {
		ready()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-ch:
			h, err := Read(m.Subject, m.Data)
			h.Place, h.Node = m.Header.Get(headerPlace), m.Header.Get(headerNode)
			if err := fn(h, err); err != nil {
				return err
			}
		}
	}
}

// Read decodes the body of a notification, bare or in oslo's wrapping.
func Read(subject string, body []byte) (Heard, error) {
	h := Heard{Subject: subject, Raw: body}
	var wrapped struct {
		Message string `json:"oslo.message"`
	}
	inner := body
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Message != "" {
		inner = []byte(wrapped.Message)
	}
	var e struct {
		ID        string          `json:"message_id"`
		Publisher string          `json:"publisher_id"`
		Event     string          `json:"event_type"`
		Priority  string          `json:"priority"`
		Timestamp string          `json:"timestamp"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(inner, &e); err != nil {
		return h, fmt.Errorf("wanted a notification on %s: %w", subject, err)
	}
	var payload struct {
		Name string         `json:"ironic_object.name"`
		Data map[string]any `json:"ironic_object.data"`
	}
	layout, into := timestampLayout, any(&payload)
	switch {
	case strings.HasPrefix(e.Event, ownEvents): // it is no object of Ironic's
		layout, into = time.RFC3339Nano, &payload.Data
	case !strings.HasPrefix(e.Event, "baremetal."):
		return h, fmt.Errorf("wanted a notification on %s, found event_type %q", subject, e.Event)
	}
	at, err := time.Parse(layout, e.Timestamp)
	if err != nil {
		return h, fmt.Errorf("notification on %s: timestamp: %w", subject, err)
	}
	if len(e.Payload) > 0 {
		if err := json.Unmarshal(e.Payload, into); err != nil {
			return h, fmt.Errorf("notification on %s: payload: %w", subject, err)
		}
	}
	h.ID, h.Publisher, h.Event, h.Priority, h.At = e.ID, e.Publisher, e.Event, e.Priority, at.UTC()
	h.Payload, h.Data = payload.Name, payload.Data
	return h, nil
}
