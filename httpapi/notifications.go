// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"ferrite/node"
	"ferrite/notify"
)

// Notifications are those that the outbox still keeps, sent or not.
type Notifications interface {
	// Kept gives up to max of them at or after (rev, index), oldest first, ready for the wire; none = there is none.
	Kept(rev node.Rev, index, max int) ([]notify.Packet, error)
	// Applied is the newest revision here.
	Applied() node.Rev
}

const (
	keptPage  = 256     // notifications read at a time
	keptMost  = 1000    // of one answer
	keptBytes = 4 << 20 // of one answer, about
)

// Headers of GET /v1/x/notifications.
const (
	headerTo   = "Ferrite-To"   // the last revision that the answer and those after it tell of
	headerNext = "Ferrite-Next" // from= of the request for the rest; none = that was all
)

// listNotifications is GET /v1/x/notifications?from=REV[.INDEX]|oldest&to=REV&subject=PATTERN (P6): one JSON object a
// line, in the order of the log. A beginning that is no longer kept is refused: what follows would hide a gap.
func listNotifications(r *request) error {
	if err := r.allow("from", "to", "subject"); err != nil {
		return err
	}
	source := r.s.cfg.Notifications
	if source == nil {
		return &routing{status: http.StatusNotFound}
	}
	newest := source.Applied()
	rev, index, to, err := r.span(newest)
	if err != nil {
		return err
	}
	if err := keptFrom(source, rev, index, newest); err != nil {
		return err
	}
	pattern, chosen := r.arg("subject")
	out := bytes.NewBuffer(r.buffer())
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false) // bodies as they were published
	r.header(headerTo, strconv.FormatUint(uint64(to), 10))
	for n := 0; ; {
		page, err := source.Kept(rev, index, keptPage)
		if err != nil {
			return err
		}
		for _, p := range page {
			if rev, index, err = notify.ParsePlace(p.Place); err != nil {
				return err
			}
			if rev > to {
				page = nil
				break
			}
			if n == keptMost || out.Len() > keptBytes {
				r.header(headerNext, p.Place)
				page = nil
				break
			}
			index++
			if chosen && !notify.Matches(pattern, p.Subject) {
				continue
			}
			n++
			if err := lines.Encode(keptLine{p.Place, p.ID, p.Subject, p.Node, p.Body}); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			break
		}
	}
	r.json(http.StatusOK, out.Bytes())
	r.ctx.Response.Header.SetContentType("application/x-ndjson")
	return nil
}

// keptLine is one notification in an answer.
type keptLine struct {
	Rev     string          `json:"rev"` // header Ferrite-Rev
	ID      string          `json:"id"`  // header Nats-Msg-Id
	Subject string          `json:"subject"`
	Node    string          `json:"node,omitempty"` // header Ironic-Node
	Body    json.RawMessage `json:"body"`
}

// span reads from and to; no from, or 0, is the oldest.
func (r *request) span(newest node.Rev) (rev node.Rev, index int, to node.Rev, err error) {
	to = newest
	if text, ok := r.arg("to"); ok {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, 0, 0, invalid("Invalid to: wanted a revision like 120, found %q", text)
		}
		to = min(to, node.Rev(n))
	}
	if text, ok := r.arg("from"); ok && text != "oldest" {
		if rev, index, err = notify.ParsePlace(text); err != nil {
			return 0, 0, 0, invalid("Invalid from: %s, or oldest", err)
		}
	}
	return rev, index, to, nil
}

// keptFrom refuses a beginning that may already have been trimmed.
func keptFrom(source Notifications, rev node.Rev, index int, newest node.Rev) error {
	if rev == 0 || rev > newest {
		return nil
	}
	first, err := source.Kept(0, 0, 1)
	if err != nil {
		return err
	}
	from := notify.Place(rev, index)
	if len(first) == 0 {
		return &plainError{status: http.StatusGone, text: "Notifications from revision " + from + " on are not kept: the outbox is empty; the log is at revision " + strconv.FormatUint(uint64(newest), 10) + "."}
	}
	oldest, at, err := notify.ParsePlace(first[0].Place)
	if err != nil {
		return err
	}
	if rev < oldest || rev == oldest && index < at {
		return &plainError{status: http.StatusGone, text: "Notifications from revision " + from + " on are not all kept: the oldest that is kept is " + first[0].Place + ": ask from there, or from oldest."}
	}
	return nil
}
