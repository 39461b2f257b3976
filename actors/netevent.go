// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// netEvent is the failure of one subnet as all conductors know it: a record in the log, from the first of them that sees it
// until the last one sees its end. Who writes a step of it writes the notification into the same entry, and a step that
// another one was first to write is not written again: so a failure is told once, and so is its end (N1), whoever sees it
// when, dies meanwhile, or gets the nodes. What is frozen where is no matter of this record: see subnet.
type netEvent struct {
	Since time.Time         // when the first conductor saw it, by its wall clock
	Topic string            // first word of the subjects that it is told under; "" = who sees it tells nothing
	Late  bool              // it has been told that it lasts
	Seen  map[string]uint64 // the conductors that see it: incarnation by name
}

// netEventPrefix begins the record's ID; the subnet follows.
const netEventPrefix = "subnet/"

func netEventKey(subnet string) persistence.Key {
	return persistence.Key{Kind: persistence.KindSetting, ID: netEventPrefix + subnet}
}

// netEventSettle is the time in which a reading fails that was begun before the network came back, and some more.
const netEventSettle = 20 * time.Second

// shareSeen is what this conductor sees of a subnet.
type shareSeen struct {
	down  bool
	late  bool
	over  bool // it is not down, and has not been for long enough to say so
	since time.Time
}

// next is the record after what this conductor sees, and what is to be told with it; e nil = there is none, next nil = there
// is to be none. topic is where this conductor tells, "" = nowhere. gone says of a conductor that it has been dead for long
// enough: its nodes are somebody else's, who has read them meanwhile.
func (e *netEvent) next(mine shareSeen, self node.Owner, topic string, gone func(node.Owner) bool) (next *netEvent, told []string) {
	next = &netEvent{Since: mine.since.UTC(), Seen: map[string]uint64{}}
	if e != nil {
		next.Since, next.Topic, next.Late = e.Since, e.Topic, e.Late
		maps.Copy(next.Seen, e.Seen)
	}
	maps.DeleteFunc(next.Seen, func(name string, incarnation uint64) bool {
		who := node.Owner{Name: name, Incarnation: incarnation}
		if name == self.Name && incarnation == self.Incarnation {
			return mine.over
		}
		return gone(who)
	})
	if mine.down {
		next.Seen[self.Name] = self.Incarnation
		if next.Topic == "" && topic != "" {
			next.Topic = topic
			told = append(told, "down")
		}
		if mine.late && !next.Late {
			next.Late = true
			told = append(told, "late")
		}
	}
	if len(next.Seen) == 0 {
		next, told = nil, nil
		if e != nil {
			told = []string{"up"}
		}
	}
	if topic := e.topic(next); topic == "" {
		told = nil
	}
	return next, told
}

// topic is where a step from e to next is told.
func (e *netEvent) topic(next *netEvent) string {
	switch {
	case next != nil:
		return next.Topic
	case e != nil:
		return e.Topic
	default:
		return ""
	}
}

// same reports whether there is nothing to write.
func (e *netEvent) same(next *netEvent) bool {
	if e == nil || next == nil {
		return e == next
	}
	return e.Topic == next.Topic && e.Late == next.Late && maps.Equal(e.Seen, next.Seen)
}

// teller is the living conductor that the metrics tell of this failure: one of those that see it, if there is one.
func (e *netEvent) teller(living []node.Owner) string {
	first := func(ok func(node.Owner) bool) string {
		name := ""
		for _, o := range living {
			if ok(o) && (name == "" || o.Name < name) {
				name = o.Name
			}
		}
		return name
	}
	if name := first(func(o node.Owner) bool { return e.Seen[o.Name] == o.Incarnation }); name != "" {
		return name
	}
	return first(func(node.Owner) bool { return true })
}

// openEvent is a netEvent in the log.
type openEvent struct {
	rev node.Rev
	e   *netEvent // nil = a newer version has written it: not to be touched
}

// netEvents are the failures that the log knows, by subnet.
func (f *Fleet) netEvents() map[string]openEvent {
	var out map[string]openEvent
	f.cfg.Store.Scan(persistence.KindSetting, netEventPrefix, func(r persistence.Record) bool {
		if out == nil {
			out = map[string]openEvent{}
		}
		o := openEvent{rev: r.Rev}
		b, _ := r.Value.([]byte)
		if e := new(netEvent); json.Unmarshal(b, e) == nil {
			o.e = e
		}
		out[r.ID[len(netEventPrefix):]] = o
		return true
	})
	return out
}

// SubnetFailures are the failures of whole subnets that the log knows and that this conductor is to be asked about, now: each
// is one conductor's.
func (f *Fleet) SubnetFailures() (n int) {
	var living []node.Owner
	for _, o := range f.netEvents() {
		if living == nil {
			living = f.cfg.Members()
		}
		if o.e != nil && o.e.teller(living) == f.cfg.Self.Name {
			n++
		}
	}
	return n
}

// netEventTx is the one entry of a step: the record and what is told with it, or nothing.
func (f *Fleet) netEventTx(subnet string, before openEvent, next *netEvent, told []string) (persistence.Tx, error) {
	key := netEventKey(subnet)
	tx := persistence.Tx{If: []persistence.Cond{{Key: key, Rev: before.rev}}}
	if next == nil {
		tx.Del = []persistence.Key{key}
	} else {
		b, err := json.Marshal(next)
		if err != nil {
			return tx, err
		}
		tx.Put = []persistence.Put{{Key: key, Value: b}}
	}
	if len(told) == 0 {
		return tx, nil
	}
	since := before.e
	if since == nil {
		since = next
	}
	nodes, failing := f.sweep.figures(subnet)
	for _, what := range told {
		row := netEventWords[what]
		body, err := json.Marshal(map[string]any{
			"event_type": "ferrite.bmc_subnet." + what, "timestamp": f.cfg.Clock().UTC().Format(time.RFC3339Nano), "publisher_id": "ferrite-conductor." + f.cfg.Self.Name,
			"payload": map[string]any{"subnet": subnet, "nodes": nodes, "failing": failing, "since": since.Since.Format(time.RFC3339Nano), "text": netEventText(subnet, what)},
		})
		if err != nil {
			return tx, err
		}
		tx.Events = append(tx.Events, persistence.Event{Subject: before.e.topic(next) + "." + row.priority + ".ferrite.bmc_subnet." + what, Body: body})
	}
	return tx, nil
}

// netEventWords are what is said of each step, in the log and in notifications.
var netEventWords = map[string]struct{ priority, text string }{
	"down": {"error", "power states are frozen: this is the network, not the machines"},
	"late": {"error", "BMCs that still fail are treated one by one from now on"},
	"up":   {"info", "power states are followed again"},
}

// netEventText is what is said of a step of this network.
func netEventText(subnet, what string) string {
	if subnet == namesNet && what == "down" {
		return "power states of the nodes are frozen whose BMC's host name cannot be resolved: this is DNS, not the machines"
	}
	if subnet == namesNet && what == "late" {
		return "nodes whose BMC's host name still cannot be resolved are treated one by one from now on"
	}
	return netEventWords[what].text
}

// figures are how many nodes of a subnet are in power sync, of all conductors, and how many of them fail: of the others' as far
// as their records say so.
func (s *Sweep) figures(name string) (nodes, failing int) {
	if !s.f.alone {
		rest := s.shares()[name]
		nodes, failing = rest.nodes, rest.failing
	}
	if u := s.nets.find(name); u != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		nodes, failing = nodes+u.synced, failing+u.failing
	}
	return nodes, failing
}

// find is a subnet by its name, nil = none of its nodes was ever here.
func (n *nets) find(name string) *subnet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[name]
}

// failed lists the subnets that are down here, or have been.
func (n *nets) failed() (out []*subnet) {
	n.mu.Lock()
	all := slices.Collect(maps.Values(n.all))
	n.mu.Unlock()
	for _, u := range all {
		u.mu.Lock()
		if !u.since.IsZero() {
			out = append(out, u)
		}
		u.mu.Unlock()
	}
	return out
}

// poke has whoever tells of subnets look at once.
func (n *nets) poke() {
	select {
	case n.poked <- struct{}{}:
	default:
	}
}
