// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"ferrite/node"
)

// mostLooks is how many machines are looked at on behalf of requests at once; more wait.
const mostLooks = 64

// look is one reading of a machine's sensors or events; all who ask for the same meanwhile share it.
type look struct {
	done  chan struct{}
	value any
	err   error
}

// sights are the looks under way.
type sights struct {
	all  sync.Map // by node and message
	once sync.Once
	room chan struct{} // one token each
}

// enter waits for room; the func that it returns makes room again, nil = the fleet drains.
func (s *sights) enter(ctx context.Context) func() {
	s.once.Do(func() { s.room = make(chan struct{}, mostLooks) })
	select {
	case s.room <- struct{}{}:
		return func() { <-s.room }
	case <-ctx.Done():
		return nil
	}
}

// looks reports whether a message is a look at the machine, which needs no lock and no actor: nothing follows from it.
func looks(m node.Msg) bool {
	switch m.(type) {
	case node.GetSensors, node.GetEvents:
		return true
	default:
		return false
	}
}

// look answers GetSensors and GetEvents.
func (f *Fleet) look(ctx context.Context, n *node.Node, m node.Msg) (any, error) {
	key := fmt.Sprintf("%s %T%v", n.UUID, m, m)
	mine := &look{done: make(chan struct{})}
	other, busy := f.sights.all.LoadOrStore(key, mine)
	l, _ := other.(*look)
	if !busy {
		if !f.begin() {
			f.sights.all.Delete(key)
			mine.err = f.drains(m, n.UUID)
			close(mine.done)
			return nil, mine.err
		}
		go func() {
			defer f.running.Done()
			mine.value, mine.err = f.lookAt(n, m)
			f.sights.all.Delete(key)
			close(mine.done)
		}()
		l = mine
	}
	select {
	case <-l.done:
		return l.value, l.err
	case <-ctx.Done():
		return nil, &node.Error{Op: m.MsgName(), Node: n.UUID, Kind: node.Unavailable, Text: "the BMC did not tell all in time: try again, or ask with a longer timeout"}
	}
}

// lookAt asks the BMC; a failure of our own code is an error like another.
func (f *Fleet) lookAt(n *node.Node, m node.Msg) (value any, err error) {
	op := m.MsgName()
	defer func() {
		if p := recover(); p != nil {
			f.cfg.Logger.Error("a look at a machine failed in our own code", "node", n.UUID, "op", op, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
		var r *node.Error
		if err != nil && !errors.As(err, &r) {
			err = &node.Error{Op: op, Node: n.UUID, Kind: node.Internal, Text: err.Error()}
		}
	}()
	leave := f.sights.enter(f.ctx)
	if leave == nil {
		return nil, f.drains(m, n.UUID)
	}
	defer leave()
	d := f.driver(n, "management")
	unsupported := &node.Error{Op: op, Node: n.UUID, Kind: node.Unsupported, Text: fmt.Sprintf("Driver %s does not support %s (disabled or not implemented).", n.Driver, map[bool]string{true: "get_sensors_data", false: "an event log"}[op == "GetSensors"])}
	if d == nil {
		return nil, unsupported
	}
	if d.Validate != nil {
		if err := d.Validate.ValidateManagement(n); err != nil {
			return nil, err
		}
	}
	switch m := m.(type) {
	case node.GetEvents:
		if d.Events == nil {
			return nil, unsupported
		}
		all, err := d.Events.Events(f.ctx, n, m.Limit)
		return node.Events{All: all}, err
	default:
		if d.Sensors == nil {
			return nil, unsupported
		}
		all, err := d.Sensors.Sensors(f.ctx, n)
		if err == nil {
			f.Sweep().felt(n.UUID, all)
		}
		return node.Sensors{All: all}, err
	}
}
