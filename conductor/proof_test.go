// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/actors"
	"ferrite/bmc"
	"ferrite/bmc/fake"
	"ferrite/cluster"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// mute is a log that may not answer reads, though its leader was heard a moment ago.
type mute struct {
	*persistence.Memory
	quiet atomic.Bool
}

func (m *mute) ReadIndex(ctx context.Context) (node.Rev, error) {
	if m.quiet.Load() {
		return 0, persistence.ErrNoQuorum
	}
	return m.Memory.ReadIndex(ctx)
}

func (*mute) LeaderContact() time.Time { return time.Now() }

func (*mute) Role() (leader string, voter, leads bool) { return "", true, false }

// Who sees the others no more gains no node, reads no BMC of theirs and still counts on them, until the log has answered since,
// however fresh its leader's last word is (S3, S7).
func TestAViewNeedsTheLogsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 40
		s := &mute{Memory: persistence.NewMemory(persistence.MemoryOptions{})}
		defer s.Close()
		for i := range nodes {
			key := persistence.Key{Kind: persistence.KindNode, ID: fmt.Sprint("n", i)}
			n := &node.Node{UUID: key.ID, Driver: "fake-hardware", ProvisionState: node.Enroll}
			if _, err := s.Commit(t.Context(), persistence.Tx{If: []persistence.Cond{{Key: key}}, Put: []persistence.Put{{Key: key, Value: n}}}); err != nil {
				t.Fatal(err)
			}
		}
		air, log := cluster.NewAir(), slog.New(slog.DiscardHandler)
		join := func(name string, incarnation uint64) *cluster.Membership {
			m, err := cluster.Join(cluster.Config{
				Member: cluster.Member{Name: name, Incarnation: incarnation, Remote: name}, Listen: "10.0.0." + name[1:] + ":7946",
				Peers: []string{"10.0.0.1:7946", "10.0.0.2:7946"}, Air: air, Logger: log,
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		place := alone("c2", "", 2)
		f := actors.New(actors.Config{
			Store: s, Self: node.Owner{Name: "c2", Incarnation: 2}, Policy: node.DefaultPolicy(), Encoder: &notify.Encoder{Host: "c2", Level: "info"},
			Drivers: map[string]*bmc.Driver{"fake": fake.New(fake.Config{})}, Wanted: place.mine, Logger: log,
		})
		tr, err := cluster.NewNetwork().Listen("c2")
		if err != nil {
			t.Fatal(err)
		}
		h := &hop{fleet: f, place: place, store: s, log: log}
		h.router = cluster.NewRouter(tr, h.serve)
		c := &Conductor{cfg: Config{Name: "c2", Cluster: &Cluster{}}, log: log, incarnation: 2, store: s, fleet: f, placement: place, hop: h, router: h.router}
		var shares atomic.Int64
		c.share = func(n int) { shares.Store(int64(n)) }
		c1 := join("c1", 1)
		c.membership = join("c2", 2)
		place.view.Store(cluster.NewView(0, []cluster.Member{{Name: "c1", Incarnation: 1}, {Name: "c2", Incarnation: 2}}))
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _ = f.Run(ctx) }()
		go func() { _ = c.attend(ctx) }()
		time.Sleep(time.Minute)
		had := f.Len()
		if had == 0 || had == nodes || len(place.view.Load().Members) != 2 {
			t.Fatalf("c2 has %d of %d nodes, its View is %+v", had, nodes, place.view.Load().Members)
		}
		if n := shares.Load(); n != 2 {
			t.Errorf("c2 divides the rates by %d, wanted 2", n)
		}

		s.quiet.Store(true)
		air.Pause("10.0.0.1:7946", true)
		time.Sleep(time.Minute) // the full look of every 30 s comes, too
		if m := c.membership.View().Members; len(m) != 1 {
			t.Fatalf("c1 is not taken for dead: %+v", m)
		}
		if n := f.Len(); n != had || place.old.Load() {
			t.Errorf("without the log's answer c2 has %d nodes, wanted the %d that it had; its View is frozen: %v, wanted false", n, had, place.old.Load())
		}
		if n := shares.Load(); n != 2 {
			t.Errorf("without the log's answer c2 divides the rates by %d, wanted 2 as before", n)
		}
		others := ""
		s.Nodes(nil, func(n *node.Node) bool {
			if to := place.owner(n); to == "c1" {
				others = n.UUID
			}
			return true
		})
		if others == "" {
			t.Error("no node is c1's any more")
		}
		began := time.Now()
		_, err = h.Do(t.Context(), others, node.Meta{}, node.SetMaintenance{On: true})
		var e *node.Error
		if !errors.As(err, &e) || e.Kind != node.Unavailable || time.Since(began) > 2*routeTime || h.sent.Load() != 0 { // on the clock of this bubble
			t.Errorf("a request for a node of c1 ends after %s with %v, %d calls were sent", time.Since(began), err, h.sent.Load())
		}

		s.quiet.Store(false)
		time.Sleep(time.Second)
		if n := f.Len(); n != nodes {
			t.Errorf("when the log answers c2 has %d nodes, wanted all %d", n, nodes)
		}
		if n := shares.Load(); n != 1 {
			t.Errorf("alone c2 divides the rates by %d, wanted 1", n)
		}
		cancel()
		_ = f.Drain(context.Background())
		f.Close()
		_ = h.router.Close()
		_ = c.membership.Close()
		_ = c1.Close()
		time.Sleep(time.Minute) // what the gossip has begun ends
	})
}
