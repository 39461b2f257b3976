// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
)

// Kind says what sort of refusal an Error is; the API's status follows from it by one table (httpapi).
type Kind string

// Kinds of refusal. The comment is Ironic's status for it.
const (
	Invalid       Kind = "invalid"        // 400 bad value, illegal transition, missing driver_info, in maintenance
	Forbidden     Kind = "forbidden"      // 403 protected node
	NotFound      Kind = "not found"      // 404
	NotAcceptable Kind = "not acceptable" // 406 not in this microversion
	Exists        Kind = "exists"         // 409 name, MAC or instance_uuid taken
	Conflict      Kind = "conflict"       // 409 wrong state for this change
	Locked        Kind = "locked"         // 409 another operation is under way
	Stale         Kind = "stale"          // 409 the node changed since it was read; the API reads and tries again
	Internal      Kind = "internal"       // 500 BMC failure in a synchronous call, defects
	Unavailable   Kind = "unavailable"    // 503 no owner, no quorum, disk low: try again later
	NoHost        Kind = "no valid host"  // 404 (400 at create and update): no conductor serves driver and group
	Unsupported   Kind = "unsupported"    // 400 the driver cannot do this
	Quarantined   Kind = "quarantined"    // 500 the rules failed on this node before (S13)
)

// Error is a refused or failed request: Op and Node say what was asked of whom, Kind what sort of failure it is, Text
// what was wanted and what was found. Err is the cause, if any.
type Error struct {
	Op   string // the message's name: "SetPower"
	Node string // UUID or the ident as given
	Kind Kind
	Text string // one sentence for the client
	Err  error

	// Ahead is how many requests waited where this one was refused because they are too many; 0 = for another reason.
	Ahead int
}

// Error is the text for clients, with the cause behind it.
func (e *Error) Error() string {
	if e.Err != nil && e.Text == "" {
		return e.Err.Error()
	}
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// kindOf is the kind of a refusal.
func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

func refuse(op string, n *Node, k Kind, format string, args ...any) *Error {
	e := &Error{Op: op, Kind: k, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Node = n.UUID
	}
	return e
}
