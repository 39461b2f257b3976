// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Error is an answer of 300 and above.
type Error struct {
	Method, Path string // the request
	Status       int    // HTTP status
	Code         string // faultcode: "Client" or "Server"; "" in the forms that have none
	Text         string // what the service said
	RequestID    string // under which the service logged it, "" = not told

	RetryAfter time.Duration // of a refusal that says when to come again, 0 = it does not

	// MinVersion and MaxVersion are the microversions that the service speaks, as it said in this answer ("" = it did
	// not); they are what a 406 is about.
	MinVersion, MaxVersion string
}

// Error names the request, the status and what the service said.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Status == http.StatusNotAcceptable && e.MaxVersion != "" {
		s += fmt.Sprintf(" (the service speaks %s to %s)", e.MinVersion, e.MaxVersion)
	}
	return s
}

// Status is the HTTP status behind err; 0 when there was no answer.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// fault is the union of what the forms of error (spec api.md section 2) hold inside.
type fault struct {
	Code        json.RawMessage `json:"code"`
	FaultCode   string          `json:"faultcode"`
	FaultString string          `json:"faultstring"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Message     string          `json:"message"`
}

func (f fault) text() string {
	for _, s := range []string{f.FaultString, f.Description, f.Message, f.Title} {
		if s != "" {
			return s
		}
	}
	return ""
}

// maxRetryAfter is the longest Retry-After that is believed, in seconds.
const maxRetryAfter = 3600

// readError reads the forms A (error_message is a string that holds JSON with faultstring), B (the same with
// description), C (error.message) and D (flat). Anything else is quoted as it is.
func readError(method, path string, r *http.Response, body []byte) error {
	e := &Error{
		Method: method, Path: path, Status: r.StatusCode, RequestID: r.Header.Get(headerRequest),
		MinVersion: r.Header.Get(headerMinVersion), MaxVersion: r.Header.Get(headerMaxVersion),
	}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s), maxRetryAfter) * time.Second
	}
	var outer struct {
		fault
		ErrorMessage json.RawMessage `json:"error_message"`
		Err          json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		e.Text = clip(string(body))
		return e
	}
	f := outer.fault
	for _, inner := range []json.RawMessage{outer.ErrorMessage, outer.Err} {
		if len(inner) > 0 {
			f = inside(inner)
		}
	}
	e.Code, e.Text = f.FaultCode, f.text()
	return e
}

// inside reads an object, a string that holds an object, or plain text.
func inside(raw json.RawMessage) fault {
	var f fault
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if json.Unmarshal([]byte(s), &f) != nil {
			return fault{Message: clip(s)}
		}
		return f
	}
	if json.Unmarshal(raw, &f) != nil {
		return fault{Message: clip(string(raw))}
	}
	return f
}
