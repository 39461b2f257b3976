// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"ferrite/actors"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// chassis keeps the chassis in the log. They belong to no node, so no actor owns them: each change is stepped here and
// committed under the condition that the record is still the one that was stepped. Any member may do that.
type chassis struct {
	store  persistence.Store
	encode actors.Encoder
	log    *slog.Logger
}

// chassisTries is how often a change is stepped anew when the record moved on (S5).
const chassisTries = 3

// Chassis is one by its UUID.
func (c *chassis) Chassis(uuid string) (*inventory.Chassis, bool) {
	r, ok := c.store.Get(persistence.Key{Kind: persistence.KindChassis, ID: uuid})
	if !ok {
		return nil, false
	}
	return shown(r)
}

// shown is a record's chassis with its place in the log.
func shown(r persistence.Record) (*inventory.Chassis, bool) {
	x, ok := r.Value.(*inventory.Chassis)
	if !ok {
		return nil, false
	}
	y := *x
	y.Rev, y.Created = r.Rev, r.Created
	return &y, true
}

// ListChassis are all of them, in order of creation.
func (c *chassis) ListChassis() []*inventory.Chassis {
	var all []*inventory.Chassis
	c.store.Scan(persistence.KindChassis, "", func(r persistence.Record) bool {
		if x, ok := shown(r); ok {
			all = append(all, x)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *inventory.Chassis) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.UUID, b.UUID))
	})
	return all
}

// Change steps a message and commits what it decides, with its notices in the same entry (N1). A node that is put into
// the chassis while it is deleted is not noticed: it then names a chassis that is gone.
func (c *chassis) Change(ctx context.Context, meta node.Meta, m node.Msg) (*inventory.Chassis, error) {
	uuid := inventory.ChassisOf(m)
	key := persistence.Key{Kind: persistence.KindChassis, ID: uuid}
	for range chassisTries {
		old, _ := c.Chassis(uuid)
		nodes := 0
		if _, gone := m.(inventory.DeleteChassis); gone {
			nodes = c.nodes(uuid)
		}
		d, err := inventory.StepChassis(node.Env{Now: time.Now().UTC(), Meta: meta}, old, nodes, m)
		if err != nil {
			if events := c.events(d.Notices); len(events) > 0 {
				c.store.Submit(persistence.Tx{Events: events}, func(node.Rev, error) {}) // best effort (N1)
			}
			return nil, err
		}
		tx := persistence.Tx{If: []persistence.Cond{{Key: key}}, Events: c.events(d.Notices)}
		if old != nil {
			tx.If[0].Rev = old.Rev
		}
		if d.Delete {
			tx.Del = []persistence.Key{key}
		} else {
			tx.Put = []persistence.Put{{Key: key, Value: d.Chassis}}
		}
		rev, err := c.store.Commit(ctx, tx)
		var moved *persistence.Conflict
		switch {
		case errors.As(err, &moved):
			continue
		case errors.Is(err, persistence.ErrDiskLow): // the API says whose
			return nil, err
		case err != nil:
			return nil, &node.Error{Op: m.MsgName(), Kind: node.Unavailable, Text: err.Error()}
		case d.Delete:
			return nil, nil
		}
		done := *d.Chassis
		done.Rev = rev
		return &done, nil
	}
	return nil, &node.Error{Op: m.MsgName(), Kind: node.Unavailable, Text: "chassis " + uuid + " changed three times while the request was made: try again"}
}

// nodes counts the nodes of a chassis.
func (c *chassis) nodes(uuid string) (n int) {
	c.store.Nodes(nil, func(x *node.Node) bool {
		if x.ChassisUUID == uuid {
			n++
		}
		return true
	})
	return n
}

// events encodes notices for the outbox; one that cannot be encoded is logged and left out, it must not stop the work.
func (c *chassis) events(notices []node.Notice) []persistence.Event {
	var out []persistence.Event
	for _, x := range notices {
		ms, err := c.encode.Encode(x)
		if err != nil {
			c.log.Error("a notification could not be written", "object", x.Object, "action", x.Action, "error", err)
			continue
		}
		for _, m := range ms {
			out = append(out, persistence.Event{Subject: m.Subject, Node: m.Node, Body: m.Body})
		}
	}
	return out
}
