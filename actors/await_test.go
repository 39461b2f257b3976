// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// slow is a machine whose power readings depend on the time since the command.
type slow struct {
	bmc.Power
	began time.Time
	looks []time.Duration
	at    func(ctx context.Context, since time.Duration) (node.PowerState, error)
}

func (s *slow) PowerState(ctx context.Context, _ *node.Node) (node.PowerState, error) {
	since := time.Since(s.began)
	s.looks = append(s.looks, since)
	return s.at(ctx, since)
}

// A machine is looked at twice in the second after its command, when an error says nothing, then as spec power.md section 12
// has it.
func TestAwait(t *testing.T) {
	busy := errors.New("busy")
	on := func(after time.Duration, until error) func(context.Context, time.Duration) (node.PowerState, error) {
		return func(_ context.Context, since time.Duration) (node.PowerState, error) {
			switch {
			case since >= after:
				return node.PowerOn, nil
			case until != nil:
				return node.PowerUnknown, until
			default:
				return node.PowerOff, nil
			}
		}
	}
	for _, c := range []struct {
		name    string
		at      func(context.Context, time.Duration) (node.PowerState, error)
		took    time.Duration
		looks   int
		err     string
		timeout time.Duration
	}{
		{name: "there at once", at: on(0, nil), took: 125 * time.Millisecond, looks: 1},
		{name: "there soon", at: on(300*time.Millisecond, busy), took: 500 * time.Millisecond, looks: 2},
		{name: "there after a second", at: on(time.Second, nil), took: time.Second, looks: 3},
		{name: "busy, then there", at: on(time.Second, busy), took: time.Second, looks: 3},
		{name: "busy for longer", at: on(time.Minute, busy), took: time.Second, looks: 3, err: "busy"},
		{name: "silent, then there", looks: 2, at: func(ctx context.Context, since time.Duration) (node.PowerState, error) {
			if since < time.Second {
				<-ctx.Done()
				return node.PowerUnknown, ctx.Err()
			}
			return node.PowerOn, nil
		}, took: time.Second},
		{name: "never there", at: on(time.Hour, nil), took: time.Second, looks: 3, err: "Failed to set node power state to power on. After 1s of waiting", timeout: 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &Fleet{cfg: Config{}.Defaults(), ctx: t.Context()}
				m := &slow{began: time.Now(), at: c.at}
				done, ok := f.await(&bmc.Driver{Power: m}, &node.Node{}, node.Effect{Want: node.PowerOn, Timeout: cmp.Or(c.timeout, time.Minute)})
				if !ok || !strings.Contains(done.Err, c.err) || (done.Err == "") != (c.err == "") || (c.err == "" && done.State != node.PowerOn) {
					t.Errorf("%+v %v", done, ok)
				}
				if took := time.Since(m.began); took != c.took || len(m.looks) != c.looks || !slices.IsSorted(m.looks) {
					t.Errorf("after %s and looks at %v, wanted %s and %d", took, m.looks, c.took, c.looks)
				}
			})
		})
	}
}
