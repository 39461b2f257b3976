// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"slices"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// extended reports whether the client knows our extensions of Ironic's API.
func (r *request) extended() bool {
	return string(r.ctx.Request.Header.Peek(wire.HeaderExtensions)) == "1"
}

// nodeFields are the fields of a node that the request sees: all, or those that it names.
func (r *request) nodeFields(names []string) ([]*wire.Field[node.Node], error) {
	more, names := r.extensions(names)
	fields := wire.Nodes.Detail(r.minor())
	if names != nil {
		var err error
		if fields, err = wire.Nodes.Select(names, r.minor()); err != nil {
			return nil, err
		}
	}
	return slices.Concat(fields, more), nil
}

// confirmedWait is how long the answer about one node waits for its owner to say when its power was confirmed.
const confirmedWait = 500 * time.Millisecond

// askConfirmed has the answer about one node tell what the node's owner knows, which may be another conductor. Who does
// not answer in time is as good as one who does not know.
func (r *request) askConfirmed(n *node.Node, fields []*wire.Field[node.Node]) {
	local := r.view.Confirmed
	if local == nil || !r.extended() || !slices.ContainsFunc(fields, func(f *wire.Field[node.Node]) bool { return f.Name == wire.PowerConfirmedAt }) {
		return
	}
	at := local(n.UUID)
	if at.IsZero() {
		r.leave()
		ctx, cancel := context.WithTimeout(context.Background(), confirmedWait)
		defer cancel()
		reply, err := r.s.cfg.Commands.Do(ctx, n.UUID, node.Meta{RequestID: r.global, Minor: r.minor(), Rank: r.rank()}, node.GetConfirmed{})
		if told, ok := reply.(node.Confirmed); ok && err == nil {
			at = told.At
		}
	}
	r.view.Confirmed = func(string) time.Time { return at }
}

// extensions are the fields beyond Ironic's that the request wants, and the other names that it gave.
func (r *request) extensions(names []string) ([]*wire.Field[node.Node], []string) {
	if !r.extended() {
		return nil, names
	}
	return wire.Extensions(names)
}
