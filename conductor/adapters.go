// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferrite/actors"
	"ferrite/bmc"
	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// hardware answers the API's questions about drivers, from data alone.
type hardware struct {
	fleet   *actors.Fleet
	policy  node.Policy
	drivers map[string]*bmc.Driver // by interface name
	shared  *endpoints
}

// Types are the enabled hardware types.
func (h *hardware) Types() []node.HardwareType {
	var out []node.HardwareType
	for _, t := range node.HardwareTypes {
		if slices.Contains(h.policy.HardwareTypes, t.Name) {
			out = append(out, t)
		}
	}
	return out
}

// Enabled are the enabled interfaces by kind.
func (h *hardware) Enabled() map[string][]string { return h.policy.Enabled }

// Defaults are the configured default interfaces by kind.
func (h *hardware) Defaults() map[string]string { return h.policy.Defaults }

// Validate is GET validate. It warns of another node behind the same BMC (S15).
func (h *hardware) Validate(n *node.Node) map[string]node.Validity {
	out := h.fleet.Validate(n)
	if w := h.shared.warning(n); w != "" {
		v := out["power"]
		v.Reason = strings.TrimSpace(v.Reason + " " + w)
		out["power"] = v
	}
	return out
}

// BootDevices are what the node's management interface takes.
func (h *hardware) BootDevices(n *node.Node) ([]string, error) {
	d := h.drivers[n.Interfaces["management"]]
	if d == nil || d.Boot == nil {
		return nil, &node.Error{Op: "BootDevices", Node: n.UUID, Kind: node.Unsupported, Text: "Driver " + n.Driver + " does not support get_supported_boot_devices (disabled or not implemented)."}
	}
	return d.Boot.BootDevices(n), nil
}

// Properties explain driver_info (GET /v1/drivers/NAME/properties).
func (h *hardware) Properties(driver string) (map[string]string, bool) {
	for _, d := range h.drivers {
		if d.Name == driver {
			return d.Properties, slices.Contains(h.policy.HardwareTypes, driver)
		}
	}
	return nil, false
}

// member is this conductor as the API shows it; it is kept in the log, so that its creation time survives.
type member struct {
	Hostname  string
	Group     string
	Drivers   []string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// members answers who the conductors are: whoever has been one, and who of them is alive.
type members struct {
	self  member
	store persistence.Store
	place *placement
}

// Conductors lists the members, alive or not as the gossip says now: the View that places nodes may be frozen (S7).
func (m *members) Conductors() (out []httpapi.Conductor) {
	v := m.place.newest()
	m.store.Scan(persistence.KindConductor, "", func(r persistence.Record) bool {
		var x member
		b, _ := r.Value.([]byte)
		if err := json.Unmarshal(b, &x); err != nil {
			return true // written by a newer version
		}
		_, alive := v.Find(x.Hostname)
		out = append(out, httpapi.Conductor{Hostname: x.Hostname, Group: x.Group, Alive: alive, Drivers: x.Drivers, CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt})
		return true
	})
	return out
}

// OwnerOf is the conductor that owns a node now, "" = none: only a member of the node's group may.
func (m *members) OwnerOf(n *node.Node) string {
	if !slices.Contains(m.self.Drivers, n.Driver) {
		return ""
	}
	return m.place.owner(n)
}

// Served is the refusal of what a node's conductor would be asked, nil = there is one.
func (m *members) Served(n *node.Node) error { return m.place.unserved("request", n) }

// Self is this conductor's name.
func (m *members) Self() string { return m.self.Hostname }

// register writes this conductor's public facts into the log.
func register(ctx context.Context, s persistence.Store, self member) error {
	key := persistence.Key{Kind: persistence.KindConductor, ID: self.Hostname}
	cond := persistence.Cond{Key: key}
	if r, ok := s.Get(key); ok {
		cond.Rev = r.Rev
		var old member
		if b, ok := r.Value.([]byte); ok && json.Unmarshal(b, &old) == nil && !old.CreatedAt.IsZero() {
			self.CreatedAt = old.CreatedAt
		}
	}
	b, err := json.Marshal(self)
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, persistence.Tx{If: []persistence.Cond{cond}, Put: []persistence.Put{{Key: key, Value: b}}})
	return err
}

// identity is the cluster's id, made when the log begins. Message ids depend on it, so that two clusters which share one
// NATS, or a log restored from a backup, never use an id twice (N2).
func identity(ctx context.Context, s persistence.Store) (string, error) {
	key := persistence.Key{Kind: persistence.KindSetting, ID: "cluster_id"}
	if r, ok := s.Get(key); ok {
		if b, ok := r.Value.([]byte); ok {
			return string(b), nil
		}
	}
	id := uuid.NewString()
	_, err := s.Commit(ctx, persistence.Tx{If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: []byte(id)}}})
	var conflict *persistence.Conflict
	if errors.As(err, &conflict) { // another conductor was first
		b, _ := conflict.Cur.Value.([]byte)
		return string(b), nil
	}
	return id, err
}

// feed is the outbox as a publisher reads it, with the cursor of its name.
type feed struct {
	store persistence.Store
	name  string
}

// Next gives the events after a place.
func (f feed) Next(ctx context.Context, rev node.Rev, index, limit int) ([]notify.Outgoing, error) {
	events, err := f.store.Outbox(ctx, rev, index, limit)
	out := make([]notify.Outgoing, len(events))
	for i, e := range events {
		out[i] = outgoing(e)
	}
	return out, err
}

// Cursor is how far the publisher got.
func (f feed) Cursor() (node.Rev, int) { return f.store.Cursor(f.name) }

// SetCursor commits that.
func (f feed) SetCursor(ctx context.Context, rev node.Rev, index int) error {
	return f.store.SetCursor(ctx, f.name, rev, index)
}
