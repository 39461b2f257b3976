// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"time"

	"ferrite/conductor"
	"ferrite/node"
)

// member is a conductor that is one of several, in a process of its own.
type member struct {
	c *conductor.Conductor
	s setup
}

func newMember(ctx context.Context, s setup) (role, error) {
	cc := conductor.Defaults()
	cc.Name, cc.DataDir, cc.APIListen, cc.NATSListen, cc.Key = s.Name, s.Dir, net.JoinHostPort(s.Host, "6385"), "", s.Key
	cc.Logger, cc.SyncInterval, cc.ServeOn = slog.New(slog.DiscardHandler), s.Interval, 0 // it complains of the dead
	cc.Policy.Enabled, cc.Policy.Defaults = maps.Clone(cc.Policy.Enabled), maps.Clone(cc.Policy.Defaults)
	if cc.Policy.Defaults == nil {
		cc.Policy.Defaults = map[string]string{}
	}
	cc.Policy.Enabled["console"], cc.Policy.Defaults["console"] = []string{"fake", "no-console"}, "fake"
	cc.Cluster = &conductor.Cluster{
		Gossip: net.JoinHostPort(s.Host, "7946"), Raft: net.JoinHostPort(s.Host, "7947"), Remote: net.JoinHostPort(s.Host, "7948"),
		Join: s.Join, Expect: len(s.Join), Profile: s.Profile,
	}
	c, err := conductor.Start(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return &member{c, s}, nil
}

func (m *member) do(ctx context.Context, q request) (reply, error) {
	switch q.Do {
	case "seed": // N nodes
		from := 0
		return reply{}, m.c.Seed(ctx, q.N, func(i int) (string, map[string]any) {
			return fmt.Sprintf("n%06d", from+i), driverInfo(from+i, m.s.Port)
		})
	case "sweep": // how many nodes it has, how many of them were confirmed by their BMC since it has them; the log's leader
		a := reply{Count: m.c.Activated()}
		m.c.Fleet().Sweep().Ages(time.Now(), func(time.Duration) { a.Seen++ })
		a.Text, _, _ = m.c.Store().Role()
		return a, nil
	case "consoles": // that it has started itself
		a := reply{}
		m.c.Store().Nodes(nil, func(n *node.Node) bool {
			if n.ConsoleEnabled && n.Intent == nil && n.Owner.Name == m.s.Name {
				a.Count++
			}
			return true
		})
		return a, nil
	case "count":
		leader, _, _ := m.c.Store().Role()
		return reply{Count: m.c.Activated(), Text: leader}, nil
	}
	return reply{}, fmt.Errorf("a member cannot %q", q.Do)
}

func (m *member) close() {
	down, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = m.c.Shutdown(down)
}
