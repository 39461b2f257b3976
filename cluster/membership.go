// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Config is what a member needs to join.
type Config struct {
	Member    Member   // what it says of itself; Name and Incarnation are needed
	Listen    string   // host:port of gossip, TCP and UDP; port 0 = any
	Advertise string   // address that others reach this one at, when it listens on all; "" = Listen's
	Peers     []string // host:port of other members; none = it is the first
	Profile   string   // a name of Profiles; "" = DefaultProfile
	Keys      []Key    // gossip is encrypted with the first, and heard with any; members with another key are not heard; none = in clear
	Label     string   // name of the cluster: members with another one are not heard
	Air       *Air     // gossip goes through this, in memory, for tests; nil = through sockets
	Cable     Cable    // what its sockets send through; nil = the network
	Logger    *slog.Logger
}

// rejoinEvery is how often peers that are not members are tried again: gossip alone does not heal a cut that has lasted.
const rejoinEvery = 5 * time.Second

// Membership is this process's part in the gossip.
type Membership struct {
	cfg     Config
	list    *memberlist.Memberlist
	addr    string
	view    atomic.Pointer[View]
	changes chan struct{} // holds 1
	taken   chan string   // holds 1
	done    chan struct{}
	wg      sync.WaitGroup
	once    sync.Once
	keys    keyring

	mu   sync.Mutex        // guards below; may be taken under memberlist's own lock, never the other way round
	seen map[string]Member // by name, this one included
	seq  uint64
	self Member
	meta []byte

	refused string // whom the door told of last
}

// Join starts to gossip. Peers that do not answer now are tried again later.
func Join(cfg Config) (*Membership, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := profile(cfg.Profile)
	if err != nil {
		return nil, err
	}
	if cfg.Member.Name == "" || cfg.Member.Incarnation == 0 {
		return nil, errors.New("cluster: a member needs a name and an incarnation")
	}
	host, port, err := address(cfg.Listen)
	if err != nil {
		return nil, err
	}
	m := &Membership{cfg: cfg, changes: make(chan struct{}, 1), taken: make(chan string, 1), done: make(chan struct{}), seen: map[string]Member{}, self: cfg.Member}
	m.view.Store(NewView(0, nil))
	m.self.Keys = ids(cfg.Keys)
	if m.meta, err = encode(m.self); err != nil {
		return nil, err
	}
	c := memberlist.DefaultLANConfig()
	p.apply(c)
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = cfg.Member.Name, host, port, port
	if cfg.Advertise != "" {
		c.AdvertiseAddr = cfg.Advertise
	}
	c.Conflict = (*events)(m)
	if c.Keyring, err = m.keys.fill(cfg.Keys); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	c.Label = cfg.Label
	c.DeadNodeReclaimTime = time.Nanosecond // a conductor that died may come back at another address at once
	c.Delegate, c.Events, c.Alive = (*delegate)(m), (*events)(m), (*door)(m)
	c.LogOutput, c.Logger = nil, log.New(lines{cfg.Logger, func() string { return m.Self().Keys }}, "", 0)
	if cfg.Air != nil {
		end, err := cfg.Air.listen(host, port)
		if err != nil {
			return nil, fmt.Errorf("gossip on %s: %w", cfg.Listen, err)
		}
		c.Transport = end
	} else if cfg.Cable != nil {
		w, err := wire(cfg.Cable, host, port, c.Logger)
		if err != nil {
			return nil, fmt.Errorf("gossip on %s: %w", cfg.Listen, err)
		}
		c.BindPort, c.AdvertisePort, c.Transport = w.GetAutoBindPort(), w.GetAutoBindPort(), w
	}
	if m.list, err = memberlist.Create(c); err != nil {
		if c.Transport != nil {
			_ = c.Transport.Shutdown()
		}
		return nil, fmt.Errorf("gossip on %s: %w", cfg.Listen, err)
	}
	m.addr = m.list.LocalNode().Address() // never changes; to ask later would race with Update
	m.wg.Go(m.rejoin)
	return m, nil
}

func address(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 || net.ParseIP(host) == nil {
		return "", 0, fmt.Errorf("gossip-listen is %q: wanted ADDRESS:PORT, like 10.0.0.1:7946", listen)
	}
	return host, port, nil
}

// View is the newest View.
func (m *Membership) View() *View { return m.view.Load() }

// Changes gets a value when there is a newer View than at the last one.
func (m *Membership) Changes() <-chan struct{} { return m.changes }

// Addr is where this member gossips.
func (m *Membership) Addr() string { return m.addr }

// SetDraining tells all members that this one wants nothing new, or does again.
func (m *Membership) SetDraining(yes bool) error {
	return m.Update(func(x *Member) { x.Draining = yes })
}

// Update tells all members what this one now says of itself; its name and incarnation stay.
func (m *Membership) Update(change func(*Member)) error {
	m.mu.Lock()
	self := m.self
	change(&self)
	self.Name, self.Incarnation = m.self.Name, m.self.Incarnation
	if self == m.self {
		m.mu.Unlock()
		return nil
	}
	meta, err := encode(self)
	if err == nil {
		m.self, m.meta = self, meta
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if err := m.list.UpdateNode(time.Second); err != nil {
		m.cfg.Logger.Debug("the gossip is slow to carry what this member says of itself, it goes on trying", "error", err) // it is said either way
	}
	return nil
}

// Self is what this member says of itself now.
func (m *Membership) Self() Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Taken gets the address of another living member of this one's name, whenever it is heard of.
func (m *Membership) Taken() <-chan string { return m.taken }

// Leave says good-bye, so that nobody has to find out, and ends.
func (m *Membership) Leave(wait time.Duration) error {
	if err := m.list.Leave(wait); err != nil && !strings.Contains(err.Error(), "timeout waiting for leave broadcast") {
		return errors.Join(err, m.Close())
	}
	return m.Close() // those who did not hear it in time find out
}

// Close ends without a word, as a crash does.
func (m *Membership) Close() error {
	var err error
	m.once.Do(func() {
		close(m.done)
		err = m.list.Shutdown()
		m.wg.Wait()
	})
	return err
}

// rejoin calls peers that are no members, at once and again for ever.
func (m *Membership) rejoin() {
	t := time.NewTimer(0)
	defer t.Stop()
	told := map[string]bool{} // peers that have been told of since they answered last
	deaf := 0
	for {
		select {
		case <-m.done:
			return
		case <-t.C:
		}
		t.Reset(rejoinEvery)
		missing := m.strangers()
		maps.DeleteFunc(told, func(peer string, _ bool) bool { return !slices.Contains(missing, peer) })
		for _, peer := range missing {
			if _, err := m.list.Join([]string{peer}); err != nil && !told[peer] {
				told[peer] = true
				m.cfg.Logger.Warn("a peer does not answer, it is tried again; is it up, and has it the same cluster key?", "peer", peer, "keys_here", m.Self().Keys, "error", strings.Join(strings.Fields(err.Error()), " "))
			}
		}
		if len(m.View().Members) > 1 || len(missing) == 0 {
			deaf = 0
		} else if deaf++; deaf%deafRounds == 0 { // all others may have dropped the key that this one knows as the first
			m.keys.turn()
		}
	}
}

// strangers are the peers at whose address nobody is known.
func (m *Membership) strangers() (out []string) {
	known := map[string]bool{m.Addr(): true}
	for _, x := range m.View().Members {
		known[x.Gossip] = true
	}
	for _, p := range m.cfg.Peers {
		p = m.withPort(p)
		if a, err := net.ResolveTCPAddr("tcp", p); err != nil || !known[a.String()] {
			out = append(out, p)
		}
	}
	return out
}

// withPort is a peer's address with our own port if it has none.
func (m *Membership) withPort(peer string) string {
	if _, _, err := net.SplitHostPort(peer); err == nil {
		return peer
	}
	_, port, _ := net.SplitHostPort(m.Addr())
	return net.JoinHostPort(peer, port)
}

// Others reports whether some peer is not this member itself.
func (m *Membership) Others() bool {
	for _, p := range m.cfg.Peers {
		if a, err := net.ResolveTCPAddr("tcp", m.withPort(p)); err != nil || a.String() != m.Addr() {
			return true
		}
	}
	return false
}

// saw takes a member's own words in, nil = it is gone.
func (m *Membership) saw(n *memberlist.Node, there bool) {
	var x Member
	if there {
		var err error
		if x, err = decode(n.Meta, n.Name); err != nil {
			m.cfg.Logger.Warn("a member says nothing that this version understands, it is left out", "member", n.Name, "address", n.Address(), "err", err)
			there = false
		}
		x.Gossip = n.Address()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if there {
		m.seen[n.Name] = x
	} else {
		delete(m.seen, n.Name)
	}
	m.seq++
	all := make([]Member, 0, len(m.seen))
	for _, x := range m.seen {
		all = append(all, x)
	}
	m.view.Store(NewView(m.seq, all))
	select {
	case m.changes <- struct{}{}:
	default:
	}
}

// encode is what a member says of itself; memberlist carries 512 bytes.
func encode(x Member) ([]byte, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("name, group and addresses of %s take %d bytes together: gossip carries %d", x.Name, len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

// decode reads what the member of that name says of itself.
func decode(meta []byte, name string) (Member, error) {
	var x Member
	if err := json.Unmarshal(meta, &x); err != nil {
		return Member{}, err
	}
	if x.Name != name {
		return Member{}, fmt.Errorf("wanted the words of %q, found those of %q", name, x.Name)
	}
	return x, nil
}

// events hears of members. Its methods run under memberlist's lock: they copy what they need and ask nothing back.
type events Membership

// NotifyJoin takes a new member in.
func (e *events) NotifyJoin(n *memberlist.Node) { (*Membership)(e).saw(n, true) }

// NotifyUpdate takes in what a member says now, a quick restart included.
func (e *events) NotifyUpdate(n *memberlist.Node) { (*Membership)(e).saw(n, true) }

// NotifyLeave forgets a member that left or died.
func (e *events) NotifyLeave(n *memberlist.Node) { (*Membership)(e).saw(n, false) }

// NotifyConflict hears of another living member with a name that is known at another address.
func (e *events) NotifyConflict(known, other *memberlist.Node) {
	m := (*Membership)(e)
	if other.Name != m.cfg.Member.Name {
		m.cfg.Logger.Warn("two conductors have one name: each wants one of its own", "name", other.Name, "first", known.Address(), "second", other.Address())
		return
	}
	select {
	case m.taken <- other.Address():
	default:
	}
}

// lines are memberlist's own lines; what hints at another key is told, the rest is for who looks closely.
type lines struct {
	log  *slog.Logger
	keys func() string
}

func (l lines) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	if strings.Contains(text, "decrypt") || strings.Contains(text, "not encrypted") {
		l.log.Warn("somebody with another cluster key, or of another cluster, tries to gossip with this conductor: give all the same --cluster-key-file; \"ferrite secrets status\" tells the fingerprint of the one in use", "keys_here", l.keys(), "memberlist", text)
	} else {
		l.log.Debug("gossip", "text", text)
	}
	return len(p), nil
}

// delegate says what this member says of itself; nothing else goes by gossip.
type delegate Membership

// NodeMeta is the member's words.
func (d *delegate) NodeMeta(int) []byte {
	m := (*Membership)(d)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta
}

// NotifyMsg is not used.
func (*delegate) NotifyMsg([]byte) {}

// GetBroadcasts is not used.
func (*delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is not used.
func (*delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState is not used.
func (*delegate) MergeRemoteState([]byte, bool) {}
