// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"strconv"

	"github.com/google/uuid"

	"ferrite/node"
)

// space is the UUIDv5 namespace of message ids of a publisher that names no cluster.
var space = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("notifications.ferrite"))

// The oslo wrapper around the escaped envelope.
const (
	osloHead = `{"oslo.version":"2.0","oslo.message":"`
	osloTail = `"}`
)

// Place names an event by its place in the log, "revision.index": header Ferrite-Rev, and the name that the message id
// is made from.
func Place(rev node.Rev, index int) string {
	b := strconv.AppendUint(make([]byte, 0, 24), uint64(rev), 10)
	b = append(b, '.')
	return string(strconv.AppendInt(b, int64(index), 10))
}

// MessageID is the id of the event at a place in the log: the UUIDv5 of "revision.index" (N2). It is the same however
// often the event is published, so that consumers can drop what they have seen.
func MessageID(rev node.Rev, index int) string { return messageID(space, Place(rev, index)) }

func messageID(space uuid.UUID, place string) string {
	return uuid.NewSHA1(space, []byte(place)).String()
}

// Finish returns a copy of an encoded body with its message_id as first key, in either format.
func Finish(body []byte, rev node.Rev, index int) []byte {
	return withID(body, MessageID(rev, index))
}

// withID splices the id in. A body that is no JSON object is returned as it is: it came from elsewhere.
func withID(body []byte, id string) []byte {
	at, key, end := 1, `"message_id":"`, `"`
	if bytes.HasPrefix(body, []byte(osloHead)) {
		at, key, end = len(osloHead)+1, `\"message_id\":\"`, `\"`
	}
	if len(body) <= at || body[at-1] != '{' {
		return body
	}
	out := make([]byte, 0, len(body)+len(key)+len(id)+len(end)+1)
	out = append(out, body[:at]...)
	out = append(out, key...)
	out = append(out, id...)
	out = append(out, end...)
	if body[at] != '}' {
		out = append(out, ',')
	}
	return append(out, body[at:]...)
}
