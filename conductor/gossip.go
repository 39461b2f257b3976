// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"ferrite/cluster"
	"ferrite/persistence"
)

// Cable is what bytes to other conductors go through, where it is not the network as it is: tests cut it.
type Cable = cluster.Cable

// Cluster is what a conductor needs to be one of several.
type Cluster struct {
	Gossip, Raft, Remote string   // host:port to listen on; port 0 = any
	NATS                 string   // the same for routes between the NATS servers inside; "" = any port beside Gossip's address
	Advertise            string   // address that others reach all of these at; "" = the ones listened on
	Join                 []string // host:port of others' gossip
	Expect               int      // members to wait for before a new log begins
	Profile              string   // a name of cluster.Profiles
	TLS                  *tls.Config
	// Cable is what all that goes to other conductors goes through; nil = the network.
	Cable Cable
	// Transport makes the hop's other than by protoactor's remote, for tests in one process.
	Transport func(listen string) (cluster.Transport, error)
}

// Validate names the setting that cannot be.
func (c *Cluster) Validate() error {
	for _, row := range []struct{ name, listen string }{{"gossip_listen", c.Gossip}, {"raft_listen", c.Raft}, {"remote_listen", c.Remote}} {
		host, _, err := net.SplitHostPort(row.listen)
		ip := net.ParseIP(host)
		switch {
		case err != nil || ip == nil:
			return fmt.Errorf("%s is %q: wanted ADDRESS:PORT, like 10.0.0.1:7946", row.name, row.listen)
		case ip.IsUnspecified() && c.Advertise == "":
			return fmt.Errorf("%s is %q: wanted the address that the other conductors reach this one at, or advertise_address beside it", row.name, row.listen)
		case !ip.IsLoopback() && c.TLS == nil && row.name != "gossip_listen":
			return fmt.Errorf("%s is %q, but tls_ca, tls_cert and tls_key are not given: wanted them, or a loopback address, because this port speaks in clear", row.name, row.listen)
		}
	}
	if c.Advertise != "" && net.ParseIP(c.Advertise) == nil {
		return fmt.Errorf("advertise_address is %q: wanted an IP address", c.Advertise)
	}
	if c.Expect < 1 {
		return fmt.Errorf("bootstrap_expect is %d: wanted the number of conductors that a new cluster begins with, 1 at least", c.Expect)
	}
	if c.Expect > 1 && len(c.Join) == 0 {
		return fmt.Errorf("bootstrap_expect is %d, but join is empty: wanted the gossip address of another conductor at least", c.Expect)
	}
	return nil
}

// Times of S7: without contact to the log's leader a View is frozen first, then what this conductor holds may be claimed.
const (
	freezeAfter = 2 * time.Second
	cutAfter    = 5 * time.Second
)

// gossip joins the other conductors and makes this one's place in the log known. It returns what the store needs.
func (c *Conductor) gossip(ctx context.Context, keys [][]byte) (*persistence.Net, error) {
	x := c.cfg.Cluster
	fresh, err := persistence.Fresh(c.cfg.DataDir)
	if err != nil {
		return nil, err
	}
	raft, err := net.Listen("tcp", x.Raft)
	if err != nil {
		return nil, fmt.Errorf("raft_listen %s: %w; stop what holds it or choose another address", x.Raft, err)
	}
	transport := x.Transport
	if transport == nil {
		transport = func(listen string) (cluster.Transport, error) { return cluster.RemoteThrough(x.Cable, listen, x.TLS) }
	}
	if c.transport, err = transport(x.Remote); err != nil {
		return nil, errors.Join(err, raft.Close())
	}
	c.began("transport", func(context.Context) error { return c.transport.Close() })
	secrets, err := gossipKeys(keys)
	if err != nil {
		return nil, errors.Join(err, raft.Close())
	}
	m := cluster.Member{
		Name: c.cfg.Name, Incarnation: c.incarnation, Group: strings.ToLower(c.cfg.Group), API: c.advertisedAPI(),
		Raft: c.reach(raft.Addr().String()), Remote: c.transport.Addr(), Joining: true, Fresh: fresh, Expect: x.Expect, Version: c.cfg.Version,
		Settings: c.agreed().hash(),
	}
	c.membership, err = cluster.Join(cluster.Config{
		Member: m, Listen: x.Gossip, Advertise: x.Advertise, Peers: x.Join, Profile: x.Profile, Keys: secrets, Label: "ferrite", Cable: x.Cable, Logger: c.log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip_listen: %w", err), raft.Close())
	}
	starting, refuse := context.WithCancelCause(ctx)
	c.starting, c.started = starting, func() { refuse(nil) }
	c.began("gossip", func(context.Context) error { c.started(); return c.membership.Leave(time.Second) })
	go c.rivals(starting, refuse)
	begin, err := c.gathered(starting, fresh)
	if err != nil {
		return nil, errors.Join(context.Cause(starting), raft.Close())
	}
	settings, err := json.Marshal(c.agreed())
	if err != nil {
		return nil, errors.Join(err, raft.Close())
	}
	if begin { // before the disk has its say: whose name comes first, and comes late, does not begin another one
		if err := c.membership.Update(func(m *cluster.Member) { m.Fresh = false }); err != nil {
			return nil, errors.Join(err, raft.Close())
		}
	}
	c.log.Info("gossip joined", "address", c.membership.Addr(), "members", len(c.membership.View().Members), "begins_a_log", begin)
	var dial func(context.Context, string) (net.Conn, error)
	if x.Cable != nil {
		dial = x.Cable.Dial
	}
	return &persistence.Net{
		Dial: dial, Listener: raft, Address: c.logAddress, Live: c.liveNames, Bootstrap: begin, TLS: x.TLS, Stop: starting.Done(), Version: c.cfg.Version,
		Patience: patience[x.Profile], Settings: settings, Differ: c.differ,
	}, nil
}

// patience is how long the log's members bear the silence of its leader: as long as the gossip's profile takes pauses for
// nothing.
var patience = map[string]time.Duration{"": 500 * time.Millisecond, "fast": 500 * time.Millisecond, "mid": time.Second, "lan": 1500 * time.Millisecond}

// rivals refuses a start under a name that another living conductor has. One that died a moment ago, and is not yet taken for
// dead, is no rival.
func (c *Conductor) rivals(starting context.Context, refuse context.CancelCauseFunc) {
	const sure = 12 * time.Second // longer than any profile takes to notice a death
	var first time.Time
	for {
		select {
		case <-starting.Done():
			return
		case at := <-c.membership.Taken():
			switch {
			case first.IsZero():
				first = time.Now()
				c.log.Warn("another conductor of this name is known to the others; if it is dead they will notice", "name", c.cfg.Name, "address", at)
			case time.Since(first) > sure:
				refuse(fmt.Errorf("a conductor named %q is alive at %s already: give this one another --name, or stop that one", c.cfg.Name, at))
				return
			}
		}
	}
}

// clusterTag is what gossip carries of the log's id.
func (c *Conductor) clusterTag() string { return c.identity[:min(8, len(c.identity))] }

// own leaves members of another cluster out of a View: with the same key they hear one another's gossip.
func (c *Conductor) own(v *cluster.View) *cluster.View {
	ours := make([]cluster.Member, 0, len(v.Members))
	for _, m := range v.Members {
		if m.Cluster == "" || m.Cluster == c.clusterTag() {
			ours = append(ours, m)
		} else if who := m.Name + m.Cluster; c.foreigner.Swap(&who) == nil {
			c.log.Warn("a conductor of another cluster gossips here, it gets nothing: give it an empty data folder to join this one, or another --join", "name", m.Name, "its_cluster", m.Cluster, "ours", c.clusterTag())
		}
	}
	return cluster.NewView(v.Seq, ours)
}

// stranger names a member of another cluster, "" = there is none.
func (c *Conductor) stranger() (name, tag string) {
	for _, m := range c.membership.View().Members {
		if m.Name != c.cfg.Name && m.Cluster != "" && m.Cluster != c.clusterTag() {
			return m.Name, m.Cluster
		}
	}
	return "", ""
}

// confess tells the members of another cluster whose this one is, before it ends: so each of them says so too.
func (c *Conductor) confess(ctx context.Context) {
	if err := c.membership.Update(func(m *cluster.Member) { m.Cluster = c.clusterTag() }); err != nil {
		c.log.Debug("gossip", "error", err)
	}
	wait(ctx, time.Second) // they look at once when they hear of it
}

// reach is an address as others reach it.
func (c *Conductor) reach(addr string) string {
	if c.cfg.Cluster.Advertise == "" {
		return addr
	}
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(c.cfg.Cluster.Advertise, port)
}

func (c *Conductor) advertisedAPI() string {
	if c.cfg.PublicEndpoint != "" {
		return strings.TrimSuffix(c.cfg.PublicEndpoint, "/v1")
	}
	scheme := "http://"
	if c.cfg.APITLS != nil {
		scheme = "https://"
	}
	host, port, _ := net.SplitHostPort(c.listener.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = c.cfg.Cluster.Advertise
		if host == "" {
			host, _, _ = net.SplitHostPort(c.cfg.Cluster.Gossip)
		}
	}
	return scheme + net.JoinHostPort(host, port)
}

// gathered waits until it is clear who begins the log: nobody where somebody has one; else, once all that are expected are
// there, the one whose name comes first. It tells what it waits for.
func (c *Conductor) gathered(ctx context.Context, fresh bool) (begin bool, err error) {
	const settled = time.Second // for so long nothing may have changed before a log begins
	tell := time.NewTicker(5 * time.Second)
	defer tell.Stop()
	var since time.Time
	var last uint64
	for {
		v := c.membership.View()
		if v.Seq != last || since.IsZero() {
			last, since = v.Seq, time.Now()
		}
		begin, ready := begins(v, c.cfg.Name, c.cfg.Cluster.Expect, fresh)
		if begin && c.cfg.Cluster.Expect == 1 && c.membership.Others() {
			begin, ready = false, false // it was told of others, and not that it shall found a cluster with them
		}
		if ready && (!begin || c.cfg.Cluster.Expect == 1 || time.Since(since) > settled) {
			return begin, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tell.C:
			c.log.Warn("waiting for the other conductors", "here", names(v), "wanted", c.cfg.Cluster.Expect, "join", c.cfg.Cluster.Join,
				"hint", "to begin a new cluster, give all of its conductors --bootstrap-expect with their number")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// begins says whether it is clear who begins the log, and whether that is the one of this name.
func begins(v *cluster.View, self string, expect int, fresh bool) (begin, ready bool) {
	if !fresh {
		return false, true
	}
	if slices.ContainsFunc(v.Members, func(m cluster.Member) bool { return m.Name != self && !m.Fresh }) {
		return false, true // a log exists
	}
	if len(v.Members) < expect || len(v.Members) == 0 {
		return false, false
	}
	return v.Members[0].Name == self, true
}

func names(v *cluster.View) (out []string) {
	for _, m := range v.Members {
		out = append(out, m.Name)
	}
	return out
}

func (c *Conductor) logAddress(name string) (string, bool) {
	m, ok := c.membership.View().Find(name)
	return m.Raft, ok && m.Raft != ""
}

func (c *Conductor) liveNames() []string { return names(c.membership.View()) }

// together waits, at a start, until the gossip knows a majority of those who vote in the log, which answers: who thought itself
// alone would take every node.
func (c *Conductor) together(ctx context.Context) {
	s, ok := c.store.(*persistence.Raft)
	if c.membership == nil || !ok {
		return
	}
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < 30*time.Second; wait(ctx, 10*time.Millisecond) {
		v, voters, here := c.membership.View(), s.Voters(), 0
		for _, name := range voters {
			if _, ok := v.Find(name); ok {
				here++
			}
		}
		if here > len(voters)/2 {
			return
		}
	}
	c.log.Warn("the log answers, but the gossip does not know its members: look at --gossip-listen and --join, UDP and TCP", "members", c.liveNames())
}

// attend follows the gossip: it gives the newest View to whoever places nodes, once the log has been asked since it came, unless
// S7 has frozen it; and it does what is due when members come and go.
func (c *Conductor) attend(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	frozen, known := false, c.membership.View()
	var sure *proof // for the newest View; nil = none is needed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.membership.Changes():
		case <-tick.C:
		case <-sure.pending():
			sure.came = true
		}
		now := c.own(c.membership.View())
		for _, m := range known.Members { // nobody waits for the dead, frozen or not
			if !now.Lives(m.Name, m.Incarnation) {
				c.log.Warn("a conductor is gone", "name", m.Name)
				c.takeovers.lost()
				c.router.Gone(m.Remote)
			}
		}
		known = now
		for _, m := range now.Members { // nor for who has lost the log: it ends nothing any more (S6, S7)
			if m.Cut && m.Name != c.cfg.Name {
				c.router.GiveUp(m.Remote)
			}
		}
		quiet := time.Since(c.store.LeaderContact())
		leader, _, _ := c.store.Role()
		_, seen := now.Find(leader)
		lone := leader != "" && !seen // the log speaks with one that the gossip takes for dead: the gossip errs
		if !lone {
			c.router.Keep(remotes(now))
		}
		if cut := quiet > cutAfter; cut != c.membership.Self().Cut {
			if err := c.membership.Update(func(m *cluster.Member) { m.Cut = cut }); err != nil {
				c.log.Debug("gossip", "error", err)
			}
			now = c.own(c.membership.View()) // the one before says otherwise of ourselves
		}
		if full := c.store.Stats().DiskLow; full != c.membership.Self().Full {
			if err := c.membership.Update(func(m *cluster.Member) { m.Full = full }); err != nil {
				c.log.Debug("gossip", "error", err)
			}
		}
		if is := quiet > freezeAfter; is != frozen {
			frozen = is
			if frozen {
				c.log.Warn("no contact to the leader of the log: this conductor takes no node and starts nothing until there is one")
			} else {
				c.log.Info("the leader of the log is heard again")
			}
		}
		c.placement.known.Store(now)
		switch {
		case frozen || lone:
			c.placement.old.Store(true)
		case now.Seq != c.placement.view.Load().Seq && sure.of(now) && sure.came:
			c.adopt(now)
		case now.Seq != c.placement.view.Load().Seq:
			if !sure.of(now) {
				sure = c.prove(ctx, sure, now)
			}
		case c.placement.old.Swap(false): // nobody has come or gone meanwhile
			c.fleet.Rebalance()
		}
	}
}

// proof is a read index that began after a View was seen. Without one a View gives nobody nodes: who sees no other conductor any
// more may be the one that is cut off, and the gossip notices that before the silence of the log's leader does (S3, S7).
type proof struct {
	seq  uint64        // of the View
	done chan struct{} // closed once the read index has come
	stop context.CancelFunc
	came bool // that was seen
}

// prove asks the log for as long as that takes, for one View in the place of another one.
func (c *Conductor) prove(ctx context.Context, before *proof, v *cluster.View) *proof {
	if before != nil {
		before.stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &proof{seq: v.Seq, done: make(chan struct{}), stop: cancel}
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if _, err := c.store.ReadIndex(ctx); err == nil {
				close(p.done)
				return
			}
			wait(ctx, 20*time.Millisecond)
		}
	}()
	return p
}

// of reports whether it is for a View.
func (p *proof) of(v *cluster.View) bool { return p != nil && p.seq == v.Seq }

// pending is closed when it comes; nil = nothing is waited for.
func (p *proof) pending() <-chan struct{} {
	if p == nil || p.came {
		return nil
	}
	return p.done
}

// remotes are where the members take calls.
func remotes(v *cluster.View) (out []string) {
	for _, m := range v.Members {
		out = append(out, m.Remote)
	}
	return out
}

// adopt makes a View the one that places nodes.
func (c *Conductor) adopt(v *cluster.View) {
	before := c.placement.view.Swap(v)
	c.placement.old.Store(false)
	c.views.Add(1)
	for _, m := range v.Members {
		if !before.Lives(m.Name, m.Incarnation) {
			c.log.Info("a conductor is here", "name", m.Name, "version", m.Version, "group", m.Group)
		}
	}
	c.routes(v)
	c.ration(v)
	began := time.Now()
	gained, left := c.fleet.Rebalance()
	c.takeovers.placed(c, gained)
	if gained+left > 0 {
		c.log.Info("nodes placed anew", "members", len(v.Members), "gained", gained, "left", left, "took", time.Since(began).Round(time.Millisecond))
	}
}
