// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"ferrite/node"
)

// Internal reports whether an event of the outbox is none of NATS's: its subject begins with $, which no topic may. Such
// events are another consumer's, with a cursor of its own (N3).
func Internal(subject string) bool { return strings.HasPrefix(subject, "$") }

// Seal makes an event of the outbox ready for the wire: with the id and the place that it always bears (N2). cluster is
// the one of Config.
func Seal(cluster string, o Outgoing) Packet { return seal(spaceOf(cluster), o) }

func seal(space uuid.UUID, o Outgoing) Packet {
	at := Place(o.Rev, o.Index)
	id := messageID(space, at)
	return Packet{Subject: o.Subject, ID: id, Place: at, Node: o.Node, Body: withID(o.Body, id)}
}

// spaceOf is the namespace of a cluster's message ids.
func spaceOf(cluster string) uuid.UUID {
	if cluster == "" {
		return space
	}
	return uuid.NewSHA1(space, []byte(cluster))
}

// ParsePlace reads what Place writes. A revision alone is its first event.
func ParsePlace(text string) (node.Rev, int, error) {
	rev, index, dotted := strings.Cut(text, ".")
	r, err := strconv.ParseUint(rev, 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("wanted a revision like 120 or 120.1, found %q", text)
	}
	if !dotted {
		return node.Rev(r), 0, nil
	}
	i, err := strconv.ParseUint(index, 10, 31)
	if err != nil {
		return 0, 0, fmt.Errorf("wanted a revision like 120 or 120.1, found %q", text)
	}
	return node.Rev(r), int(i), nil
}

// Matches reports whether NATS would give a subject to a subscriber of pattern: * is one word, > at the end is one word
// or more.
func Matches(pattern, subject string) bool {
	want, found := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, w := range want {
		if w == ">" && i == len(want)-1 {
			return len(found) > i
		}
		if i >= len(found) || w != "*" && w != found[i] {
			return false
		}
	}
	return len(want) == len(found)
}
