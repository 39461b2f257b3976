// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferrite/cluster"
	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// States of a member, as the list of members tells them.
const (
	stateAlive    = "alive"
	stateDraining = "draining"
	stateCordoned = "cordoned"
	stateCut      = "cut"
	stateGone     = "gone"
	stateEnding   = "ending"
)

// overview is the cluster as httpapi shows it.
type overview struct{ c *Conductor }

// view is what the gossip knows now; the one that places nodes may be frozen (S7).
func (o overview) view() *cluster.View {
	if o.c.membership == nil {
		return o.c.placement.view.Load()
	}
	return o.c.membership.View()
}

// Status asks every member how it is.
func (o overview) Status(ctx context.Context) httpapi.ClusterStatus {
	v := o.view()
	owners, unserved := o.owners()
	placed := map[string]int{}
	for _, row := range owners.Conductors {
		placed[row.Conductor] = row.Placed
	}
	by := map[string]*httpapi.ClusterMember{}
	for _, m := range v.Members {
		by[m.Name] = &httpapi.ClusterMember{
			Name: m.Name, State: stateOf(m), Role: "joining", API: m.API, Gossip: m.Gossip, Group: m.Group, Version: m.Version,
			Incarnation: strconv.FormatUint(m.Incarnation, 16),
		}
	}
	if o.c.membership == nil {
		by[o.c.cfg.Name].API, by[o.c.cfg.Name].Version = o.c.apiURL, o.c.cfg.Version
	}
	s := httpapi.ClusterStatus{Conductor: o.c.cfg.Name, ID: o.c.identity, Nodes: owners.Nodes, Here: o.here(), Warnings: []string{}}
	var voters, answering, others []string
	if log, ok := o.c.store.(*persistence.Raft); ok {
		s.Leader, _, _ = log.Role()
		newest := uint64(0)
		for _, m := range log.Members(ctx) {
			x := by[m.Name]
			if x == nil {
				x = &httpapi.ClusterMember{Name: m.Name, State: stateGone}
				by[m.Name] = x
			}
			switch {
			case m.Leader:
				x.Role = "leader"
			case m.Voter:
				x.Role = "voter"
			case x.Role != "leader" && x.Role != "voter": // a member that lost its folder is there twice for a while
				x.Role = "non-voter"
			}
			if m.Status != nil {
				x.Applied = uint64(m.Status.Applied)
				newest = max(newest, uint64(m.Status.Last))
			} else if x.State != stateGone {
				x.Problem = m.Problem
			}
			switch {
			case !m.Voter:
				others = append(others, m.Name)
			default:
				voters = append(voters, m.Name)
				if m.Status != nil && x.State != stateGone {
					answering = append(answering, m.Name)
				}
			}
		}
		for _, x := range by {
			if x.State != stateGone && x.Problem == "" && newest > x.Applied {
				x.Lag = newest - x.Applied
			}
		}
	}
	for name, x := range by {
		x.Nodes = placed[name]
	}
	for _, names := range [][]string{voters, answering, others} {
		slices.Sort(names)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		s.Members = append(s.Members, *by[name])
	}
	s.Quorum = s.Leader != "" && time.Since(o.c.store.LeaderContact()) < freezeAfter
	s.Survives = max(len(answering)-len(voters)/2-1, 0)
	s.Advice = survival(s.Quorum, voters, answering, others)
	for _, m := range v.Members {
		if m.Full || m.Name == o.c.cfg.Name && o.c.Ails() != "" {
			s.Warnings = append(s.Warnings, fmt.Sprintf("the disk of %s is nearly full: changes of its nodes are refused until there is room", m.Name))
		}
	}
	s.Warnings = append(s.Warnings, o.thin(v, unserved)...)
	return s
}

func stateOf(m cluster.Member) string {
	switch {
	case m.Cut:
		return stateCut
	case m.Draining:
		return stateDraining
	case m.Cordoned:
		return stateCordoned
	}
	return stateAlive
}

// survival says in a sentence what may be lost (L5).
func survival(quorum bool, voters, answering, others []string) string {
	needed := len(voters)/2 + 1
	spare := len(answering) - needed
	missing := slices.DeleteFunc(slices.Clone(voters), func(name string) bool { return slices.Contains(answering, name) })
	switch {
	case !quorum && len(voters) == 1:
		return fmt.Sprintf("no quorum: changes are refused until %s is there, the only voter; start it, and only if it is lost for good see \"ferrite cluster recover --help\"", voters[0])
	case !quorum:
		return fmt.Sprintf("no quorum: changes are refused until %d of the voters %s are there, now %s; start the missing ones, and only if they are lost for good see \"ferrite cluster recover --help\"",
			needed, and(voters), cmp.Or(and(answering), "none"))
	case len(voters) == 1 && len(others) == 0:
		return "one conductor alone: while it is away nothing is done"
	case len(voters) == 1:
		return fmt.Sprintf("survives the loss of %s (no vote), but not of %s, the only voter; with a third conductor it survives the loss of any one", and(others), voters[0])
	case spare > 0:
		return fmt.Sprintf("survives the loss of any %d of the voters %s", spare, and(voters))
	case len(missing) == 1:
		return fmt.Sprintf("survives the loss of no further voter while %s is missing: start it, or add another conductor, which takes over its vote", missing[0])
	case len(missing) > 0:
		return fmt.Sprintf("survives the loss of no further voter while %s are missing: start them, or add other conductors, which take over their votes", and(missing))
	}
	return fmt.Sprintf("survives the loss of no voter: %d of %d are needed; add another conductor", needed, len(voters))
}

// and lists names.
func and(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// nobody says why nodes of a group have no conductor.
func nobody(v *cluster.View, group string) string {
	if who := idle(v, group); who != "" {
		return fmt.Sprintf("no conductor of conductor_group %q takes nodes now: %s", group, who)
	}
	return fmt.Sprintf("no living conductor serves conductor_group %q", group)
}

// thin names groups that hang on one conductor, or on none (with how many nodes), where others would be there.
func (o overview) thin(v *cluster.View, unserved map[string]int) (out []string) {
	for _, group := range slices.Sorted(maps.Keys(unserved)) {
		nodes := fmt.Sprintf("%d nodes", unserved[group])
		if unserved[group] == 1 {
			nodes = "1 node"
		}
		out = append(out, "nobody looks after "+nodes+": "+nobody(v, group))
	}
	if len(v.Members) < 2 {
		return out
	}
	serve := map[string][]string{}
	for _, m := range v.Members {
		if !m.Draining && !m.Cut {
			serve[m.Group] = append(serve[m.Group], m.Name)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(serve)) {
		if names := serve[group]; len(names) == 1 {
			out = append(out, fmt.Sprintf("only %s takes nodes of conductor_group %q: nobody looks after them while it is away", names[0], group))
		}
	}
	return out
}

func (o overview) here() httpapi.HereStatus {
	h := httpapi.HereStatus{State: httpapi.StateActive, Active: o.c.fleet.Len(), Operations: int(o.c.fleet.Stats().Operations)}
	switch {
	case o.c.stopping.Load():
		h.State = stateEnding
	case o.c.membership == nil:
	default:
		if m := o.c.membership.Self(); m.Draining {
			h.State = httpapi.StateDraining
		} else if m.Cordoned {
			h.State = httpapi.StateCordoned
		}
	}
	return h
}

// Owners counts the nodes by conductor.
func (o overview) Owners() httpapi.Owners {
	out, _ := o.owners()
	return out
}

// owners counts besides the nodes that nobody has by group.
func (o overview) owners() (out httpapi.Owners, unserved map[string]int) {
	unserved = map[string]int{}
	v := o.c.placement.view.Load()
	rows := map[string]*httpapi.OwnerRow{}
	row := func(name string) *httpapi.OwnerRow {
		if rows[name] == nil {
			rows[name] = &httpapi.OwnerRow{Conductor: name}
		}
		return rows[name]
	}
	seen := o.view() // who lives; v may be frozen
	for _, m := range v.Members {
		_, row(m.Name).Alive = seen.Find(m.Name)
	}
	o.c.store.Nodes(nil, func(n *node.Node) bool {
		out.Nodes++
		to := o.c.placement.owner(n)
		if to == "" {
			out.Unserved++
			unserved[n.ConductorGroup]++
		} else {
			row(to).Placed++
		}
		if n.Intent != nil {
			out.Recorded.Pending++
			row(n.Intent.Owner.Name).Operations++
		}
		if n.Owner.Name == "" {
			out.Recorded.Nobody++
			return true
		}
		row(n.Owner.Name).Recorded++
		_, alive := seen.Find(n.Owner.Name)
		switch {
		case n.Owner.Name == to:
			out.Recorded.Here++
		case alive:
			out.Recorded.Other++
		default:
			out.Recorded.Gone++
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out.Conductors = append(out.Conductors, *rows[name])
	}
	return out, unserved
}

// Owner tells where a node belongs.
func (o overview) Owner(n *node.Node) httpapi.NodeOwner {
	v := o.c.placement.view.Load()
	out := httpapi.NodeOwner{
		Node: n.UUID, Name: n.Name, Group: n.ConductorGroup, Key: placeOf(n), Placed: o.c.placement.owner(n),
		Owner: n.Owner.Name, Incarnation: strconv.FormatUint(n.Owner.Incarnation, 16), Epoch: n.Owner.Epoch,
		Alive: o.view().Lives(n.Owner.Name, n.Owner.Incarnation),
	}
	hashed, _ := v.Owner(placeOf(n), n.ConductorGroup)
	switch {
	case out.Placed == "":
		out.Why = nobody(v, n.ConductorGroup)
	case out.Placed == hashed.Name:
		out.Why = "placed there by its hash"
	case n.Intent != nil && n.Intent.Owner.Name == out.Placed:
		out.Why = fmt.Sprintf("its operation ends there, then it goes to %s", cmp.Or(hashed.Name, "whoever serves its group"))
	default:
		out.Why = out.Placed + " is cordoned and keeps it"
	}
	return out
}

// SetState makes this conductor take nodes, keep what it has, or give everything away.
func (o overview) SetState(_ context.Context, state string) error {
	c := o.c
	conflict := func(format string, args ...any) error {
		return &node.Error{Op: "cluster", Kind: node.Conflict, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.membership == nil:
		return conflict("Conductor %s is alone: nobody could take its nodes. Start it and others with --gossip-listen and --join.", c.cfg.Name)
	case c.stopping.Load():
		return conflict("Conductor %s is ending: it hands its nodes over already.", c.cfg.Name)
	}
	self := c.membership.Self()
	if state == httpapi.StateCordoned && self.Draining {
		return conflict("Conductor %s is draining, so it takes nothing new already. Uncordon it first if it is to keep nodes.", c.cfg.Name)
	}
	if state == httpapi.StateDraining {
		if !slices.ContainsFunc(c.membership.View().Members, func(m cluster.Member) bool {
			return m.Name != self.Name && m.Group == self.Group && !m.Draining && !m.Cordoned && !m.Cut
		}) {
			return conflict("No other conductor takes nodes of conductor_group %q: nobody would look after those of %s. Start or uncordon another one first; nothing was changed.", self.Group, c.cfg.Name)
		}
	}
	kept := ""
	if state == httpapi.StateCordoned {
		if kept = self.Kept; !self.Cordoned {
			kept = c.placement.view.Load().Hold(self.Name, uint64(c.store.Applied()))
		}
	}
	err := c.membership.Update(func(m *cluster.Member) {
		m.Draining, m.Cordoned, m.Kept = state == httpapi.StateDraining, state == httpapi.StateCordoned, kept
	})
	if err != nil {
		return &node.Error{Op: "cluster", Kind: node.Unavailable, Err: err, Text: "The other conductors may not have heard of it: " + err.Error() + ". Try again."}
	}
	c.log.Info("this conductor is "+state+" from now on", "nodes", c.fleet.Len())
	if log, ok := c.store.(*persistence.Raft); ok && state == httpapi.StateDraining {
		if err := log.Yield(); err != nil {
			c.log.Debug("no other conductor leads the log yet", "error", err)
		}
	}
	return nil
}

// Evict takes a member that is gone out of the log and off the list of conductors. Who is on the list only, because an
// earlier eviction came no further, is taken off it.
func (o overview) Evict(ctx context.Context, name string) error {
	log, ok := o.c.store.(*persistence.Raft)
	if !ok || o.c.membership == nil {
		return &node.Error{Op: "evict", Kind: node.Conflict, Text: "Conductor " + o.c.cfg.Name + " is alone: there is nobody to evict."}
	}
	err := log.Evict(ctx, name)
	if err == nil {
		o.c.log.Warn("a conductor is evicted: if it is started again it comes back as a new member", "name", name)
		_, err = o.forget(ctx, name)
		return err
	}
	if errors.Is(err, persistence.ErrNoMember) {
		listed, forgotten := o.forget(ctx, name)
		if listed {
			return forgotten
		}
	}
	if errors.Is(err, persistence.ErrNoQuorum) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &node.Error{Op: "evict", Kind: node.Conflict, Err: err, Text: err.Error()}
}

// forget takes a conductor off the list that GET /v1/conductors shows; listed says whether it was on it.
func (o overview) forget(ctx context.Context, name string) (listed bool, err error) {
	key := persistence.Key{Kind: persistence.KindConductor, ID: name}
	r, listed := o.c.store.Get(key)
	if !listed {
		return false, nil
	}
	_, err = o.c.store.Commit(ctx, persistence.Tx{If: []persistence.Cond{{Key: key, Rev: r.Rev}}, Del: []persistence.Key{key}})
	return true, err
}
