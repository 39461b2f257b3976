// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"ferrite/httpapi/wire"
	"ferrite/node"
	"ferrite/persistence"
)

// statuses is the one table from a refusal to its status.
var statuses = map[node.Kind]int{
	node.Invalid:       http.StatusBadRequest,
	node.Unsupported:   http.StatusBadRequest,
	node.Forbidden:     http.StatusForbidden,
	node.NotFound:      http.StatusNotFound,
	node.NoHost:        http.StatusNotFound, // 400 where the request names driver or group: route.noHost
	node.NotAcceptable: http.StatusNotAcceptable,
	node.Exists:        http.StatusConflict,
	node.Conflict:      http.StatusConflict,
	node.Locked:        http.StatusConflict,
	node.Stale:         http.StatusConflict,
	node.Internal:      http.StatusInternalServerError,
	node.Quarantined:   http.StatusInternalServerError,
	node.Unavailable:   http.StatusServiceUnavailable,
}

// routing is an error of form B: the path, method or version as such is wrong.
type routing struct {
	status int
	text   string
	allow  string // Allow header of 405
}

func (e *routing) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

// plainError is an error of form A with a status that no Kind has.
type plainError struct {
	status int
	text   string
	allow  string
	reason string // of a refusal that is counted, "" = it is not
	ahead  int    // requests before the refused one, 0 = it was not refused for their sake
}

func (e *plainError) Error() string { return e.text }

// flatError is an error of form D.
type flatError struct {
	status int
	text   string
	reason string // of a refusal that is counted, "" = it is not
}

func (e *flatError) Error() string { return e.text }

func refuse(k node.Kind, format string, args ...any) error {
	return &node.Error{Op: "request", Kind: k, Text: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return refuse(node.Invalid, format, args...) }

func tooNew(what string, since int) error {
	return refuse(node.NotAcceptable, "Request not acceptable. %s: the minimal required API version should be %s", what, wire.VersionString(since))
}

// statusOf gives status and text of an error of form A.
func (r *request) statusOf(err error) (int, string) {
	var ne *node.Error
	var taken *persistence.NotUnique
	switch {
	case errors.As(err, &ne):
		status, ok := statuses[ne.Kind]
		if !ok {
			status = http.StatusInternalServerError
		}
		if ne.Kind == node.NoHost && r.route != nil && r.route.noHost != 0 {
			status = r.route.noHost
		}
		return status, ne.Error()
	case errors.As(err, &taken):
		return http.StatusConflict, taken.Error()
	case errors.Is(err, persistence.ErrTooBig):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "The request could not be carried out in time: its outcome is not known. Read the node, then try again."
	case errors.Is(err, persistence.ErrDiskLow):
		return http.StatusServiceUnavailable, "conductor " + r.s.cfg.Members.Self() + ": " + err.Error()
	case errors.Is(err, persistence.ErrNoQuorum), errors.Is(err, persistence.ErrUnknown), errors.Is(err, persistence.ErrClosed):
		return http.StatusServiceUnavailable, err.Error()
	default:
		return http.StatusInternalServerError, err.Error()
	}
}

// fail writes an error in the form that belongs to it.
func (r *request) fail(err error) {
	var (
		form  func([]byte, int, string) []byte
		code  int
		text  string
		allow string
		route *routing
		plain *plainError
		flat  *flatError
		below *node.Error
		ahead int
	)
	switch {
	case errors.As(err, &route):
		form, code, text, allow = wire.AppendRouting, route.status, route.text, route.allow
	case errors.As(err, &plain):
		form, code, text, allow = wire.AppendFault, plain.status, plain.text, plain.allow
		ahead = plain.ahead
		r.s.refused.add(plain.reason)
	case errors.As(err, &flat):
		form, code, text = wire.AppendFlat, flat.status, flat.text
		r.s.refused.add(flat.reason)
	default:
		form = wire.AppendFault
		code, text = r.statusOf(err)
		if errors.As(err, &below) {
			ahead = below.Ahead
		}
	}
	if allow != "" {
		r.header("Allow", allow)
	}
	if code == http.StatusServiceUnavailable {
		r.askBack(retryAfter(r.rank(), ahead))
	}
	if code == http.StatusInternalServerError {
		r.s.cfg.Logger.Error("request failed", "request_id", r.id, "method", r.method(), "path", r.path(), "err", err)
	}
	r.json(code, form(r.buffer(), code, text))
}
