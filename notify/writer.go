// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"slices"
	"sync"
	"time"

	"ferrite/internal/jsontext"
	"ferrite/inventory"
	"ferrite/node"
)

// writer appends one envelope as JSON. Encoding is on the path of a commit, so writers are pooled and no value is
// built on the way: a notice costs its body and the slice of messages.
type writer struct {
	b    []byte
	esc  []byte   // scratch of the oslo format
	keys []string // scratch of sorted keys, used as a stack by nested objects
	n    node.Notice
	port *inventory.Port

	chassis *inventory.Chassis
}

const (
	dateLayout      = "2006-01-02T15:04:05Z"       // of dates in payloads
	timestampLayout = "2006-01-02 15:04:05.000000" // of the envelope
	keepScratch     = 256 << 10                    // a writer that grew beyond this many bytes is not kept
)

var writers = sync.Pool{New: func() any { return &writer{b: make([]byte, 0, 4096)} }}

func newWriter(n node.Notice) *writer {
	w := writers.Get().(*writer)
	w.n = n
	return w
}

func (w *writer) free() {
	if cap(w.b) > keepScratch || cap(w.esc) > keepScratch {
		return
	}
	clear(w.keys[:cap(w.keys)])
	*w = writer{b: w.b[:0], esc: w.esc[:0], keys: w.keys[:0]}
	writers.Put(w)
}

// envelope writes all but message_id, which Finish puts in front of the first key.
func (w *writer) envelope(publisher string, ev event, prio priority) {
	w.raw(`{"publisher_id":`)
	w.raw(publisher)
	w.raw(`,"event_type":"`)
	w.raw(ev.eventType)
	w.raw(`","priority":"`)
	w.raw(prio.wire)
	w.raw(`","timestamp":"`)
	w.b = w.n.At.UTC().AppendFormat(w.b, timestampLayout)
	w.raw(`","payload":`)
	w.raw(ev.payload.head)
	for i := range ev.payload.fields {
		f := &ev.payload.fields[i]
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, '"')
		w.raw(f.name)
		w.raw(`":`)
		f.put(w)
	}
	w.raw(`}}`)
	if w.n.Request != "" {
		w.raw(`,"_context_request_id":`) // as oslo.messaging packs the context
		w.string(w.n.Request)
	}
	w.raw(`}`)
}

// copied returns the body in memory of its own, of the exact size, since it lives on in the log.
func (w *writer) copied(oslo bool) []byte {
	if !oslo {
		return slices.Clone(w.b)
	}
	w.esc = append(w.esc[:0], osloHead...)
	w.esc = jsontext.AppendEscaped(w.esc, w.b)
	w.esc = append(w.esc, osloTail...)
	return slices.Clone(w.esc)
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

func (w *writer) string(s string) { w.b = jsontext.Append(w.b, s) }

// text writes a string that may be null; "" is null.
func (w *writer) text(s string) {
	if s == "" {
		w.raw("null")
		return
	}
	w.string(s)
}

func (w *writer) bool(v bool) {
	if v {
		w.raw("true")
	} else {
		w.raw("false")
	}
}

// maybe writes a flag that may be null.
func (w *writer) maybe(v *bool) {
	if v == nil {
		w.raw("null")
		return
	}
	w.bool(*v)
}

// date writes a time in seconds; the zero time is null.
func (w *writer) date(t time.Time) {
	if t.IsZero() {
		w.raw("null")
		return
	}
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, dateLayout)
	w.b = append(w.b, '"')
}

func (w *writer) strings(list []string) {
	w.b = append(w.b, '[')
	for i, s := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(s)
	}
	w.b = append(w.b, ']')
}
