// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"ferrite/node"
)

// Raft is the Store of a conductor: hashicorp/raft as the log, raft-wal as its file, badger as the state machine. Without
// Config.Net it is a raft of one voter on a transport without a port.
type Raft struct {
	*replica
	cfg       Config
	dir       folder
	log       *slog.Logger
	raft      *raft.Raft
	logs      logStore
	id        raft.ServerID
	process   uint64                 // random, of this process's store
	trans     *raft.InmemTransport   // nil = port
	network   *raft.NetworkTransport // likewise
	port      *port                  // nil = a log of one
	leader    upstream
	committer *committer
	rounds    rounds
	// leaderRounds answer other members' read indexes.
	leaderRounds rounds
	lock         *os.File
	loaded       chan struct{} // closed when the state is in memory
	known        node.Rev      // the state held so much when it was opened

	sealing sync.RWMutex // held for reading from sealing a transaction until it is in the queue
	flights flights
	turn    rotating

	kin      kinship
	quarrels quarrels
	said     sayings
	open     atomic.Bool // the start is over

	led        atomic.Pointer[time.Time] // when it was last seen to lead
	term       atomic.Uint64             // the newest term that openTerm has opened
	minFree    uint64                    // watermark of the disk in bytes
	diskFree   atomic.Uint64             // bytes, as last seen
	low        atomic.Bool               // the disk is below its watermark
	handing    atomic.Bool               // the only vote is being given away
	refused    chan string               // holds 1: why the log's leader does not take this member in
	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup
	closing    sync.Once
	closeErr   error
}

var _ Store = (*Raft)(nil)

// startTime bounds the start: election and replay of the log's tail.
const startTime = time.Minute

// recentEntries is how many of the newest entries stay in memory (some 6 KB each) for those who read them right after they
// were written.
const recentEntries = 256

// Open takes the data folder and returns the store when it leads and has applied the whole log. It refuses a folder in
// use, a wrong cluster key, another conductor's folder and damaged files, each by name.
func Open(cfg Config) (*Raft, error) {
	cfg, err := cfg.defaults()
	if err != nil {
		return nil, err
	}
	seal, err := newSealer(cfg.Key)
	if err != nil {
		return nil, err
	}
	if err := cfg.Net.trusted(cfg.Name); err != nil {
		return nil, err
	}
	s := &Raft{cfg: cfg, dir: folder(cfg.Dir), log: cfg.Logger, loaded: make(chan struct{}), refused: make(chan string, 1), process: rand.Uint64()} //nolint:gosec // tells processes apart, keeps no secret
	s.rounds.run, s.leaderRounds.run = s.round, s.readRound
	s.life, s.end = context.WithCancel(context.Background())
	if err := os.MkdirAll(s.dir.wal(), 0o700); err != nil {
		return nil, cannotOpen("log", s.dir.wal(), err)
	}
	if s.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	if err := s.start(newCodec(seal)); err != nil {
		s.end()
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (s *Raft) start(c *codec) error {
	if err := errors.Join(s.dir.whole(), s.cfg.room(s.dir)); err != nil {
		return err
	}
	if err := s.takeKeys(c.seal); err != nil {
		return err
	}
	if err := s.dir.checkKey(c.seal); err != nil {
		return err
	}
	s.minFree = s.cfg.watermark()
	s.checkDisk()
	var err error
	if s.id, err = s.dir.member(s.cfg.Name, s.cfg.Net != nil && !s.cfg.Net.Bootstrap); err != nil { // before there is a log
		return err
	}
	hlog := newRaftLog(s.log)
	w, err := openLog(s.dir.wal(), hlog)
	if err != nil {
		return cannotOpen("log", s.dir.wal(), err)
	}
	s.logs = guarded{logStore: w, fail: s.fail, apart: s.apart}
	if s.cfg.wrap != nil {
		s.logs = guarded{logStore: s.cfg.wrap(w), fail: s.fail, apart: s.apart}
	}
	snaps, err := openSnapshots(s.cfg.Dir, hlog)
	if err != nil {
		return cannotOpen("snapshots", s.dir.snapshots(), err)
	}
	if err := s.recallKin(snaps); err != nil {
		return err
	}
	if err := s.openState(c, snaps); err != nil {
		return err
	}
	rc := raftConfig(s.id, hlog)
	if n := s.cfg.Net; n != nil && n.Patience > 0 {
		rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = n.Patience, n.Patience, n.Patience/2
	}
	if err := s.startRaft(snaps, rc); err != nil {
		return err
	}
	if err := s.dir.settle(); err != nil {
		return err
	}
	s.committer = newCommitter(s)
	<-s.loaded
	if err := s.stopped(); err != nil {
		return err
	}
	if s.port != nil {
		s.port.begin()
		s.background.Go(func() { s.care(s.life) })
		s.background.Go(func() { s.tellLeaders(s.life) })
	}
	s.background.Go(func() { s.keep(s.life) })
	if err := s.lead(); err != nil {
		return err
	}
	switch {
	case s.port != nil:
		s.turnAtStart()
		s.background.Go(func() { s.turnTogether(s.life) })
	case s.turn.key != nil:
		s.log.Warn("the rotation of the cluster key goes on", "from", s.turn.status.From, "to", c.seal.fingerprints()[0])
		s.background.Go(s.rotate)
	}
	s.open.Store(true)
	s.log.Info("store open", "dir", s.cfg.Dir, "name", s.cfg.Name, "incarnation", s.cfg.Incarnation, "applied", s.Applied(),
		"nodes", s.Len(KindNode), "outbox", s.Stats().OutboxDepth)
	return nil
}

// openState opens badger, from a snapshot when badger is behind it, and begins to load it: raft reads its log meanwhile.
func (s *Raft) openState(c *codec, snaps raft.SnapshotStore) error {
	path, err := s.dir.state()
	if err != nil {
		return err
	}
	store, err := openBadger(path, s.log)
	if err != nil {
		return err
	}
	behind := newWriteBehind(store, func(err error) { _ = s.cannotWrite(err) })
	s.replica = newReplica(c, outboxBounds{age: s.cfg.OutboxMaxAge, bytes: s.cfg.OutboxMaxBytes, keep: s.cfg.OutboxKeep}, behind, s.fail)
	applied, err := appliedIn(store)
	if err != nil {
		return fmt.Errorf("the state in %s: %w", path, err)
	}
	s.applied.Store(uint64(applied))
	newest, restored, err := s.behind(snaps)
	if err != nil {
		return err
	}
	s.known = s.Applied()
	if err := s.checkLog(newest); err != nil || restored {
		close(s.loaded)
		return err
	}
	s.background.Go(func() {
		defer close(s.loaded)
		l, err := s.load(store)
		if err != nil {
			s.stop(fmt.Errorf("the state in %s: %w", path, err))
			return
		}
		s.adopt(behind, l)
	})
	return nil
}

// behind restores badger from the newest snapshot if it is older than that; it returns the snapshot's index.
func (s *Raft) behind(snaps raft.SnapshotStore) (index uint64, restored bool, err error) {
	list, err := snaps.List()
	if err != nil {
		return 0, false, cannotOpen("snapshots", s.dir.snapshots(), err)
	}
	if len(list) == 0 {
		return 0, false, nil
	}
	index = list[0].Index
	if uint64(s.Applied()) >= index {
		return index, false, nil
	}
	s.log.Warn("the state is older than the newest snapshot and is restored from it", "state", s.Applied(), "snapshot", index)
	_, rc, err := snaps.Open(list[0].ID)
	if err != nil {
		return 0, false, fmt.Errorf("snapshot %s: %w", list[0].ID, err)
	}
	defer rc.Close()
	return index, true, machine{s}.Restore(rc)
}

// checkLog refuses a log that does not reach from the state on: applying it would lose acknowledged writes in silence.
func (s *Raft) checkLog(snapshot uint64) error {
	first, err := s.logs.FirstIndex()
	if err != nil {
		return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
	}
	applied := uint64(s.Applied())
	if end := max(last, snapshot); end < applied {
		return damaged(s.dir.newestLog(), "the log ends at %d, but the state is at %d: part of the log is gone", end, applied)
	}
	if first > applied+1 {
		return damaged(s.dir.current(), "the log begins at %d, but the state ends at %d: part of the state is gone", first, applied)
	}
	if last > 0 && last < snapshot {
		// A crash while a snapshot was taken over from the leader: what is before it would keep the log from going on.
		return s.logs.DeleteRange(first, last)
	}
	if first > snapshot+1 {
		return damaged(s.dir.snapshots(), "the log begins at %d, but the newest snapshot ends at %d: a snapshot is gone", first, snapshot)
	}
	return nil
}

// raftConfig has the settings that were measured (design of the log: failover in about a second, commits seen by
// followers within milliseconds).
func raftConfig(id raft.ServerID, log *raftLog) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.HeartbeatTimeout = 500 * time.Millisecond
	c.ElectionTimeout = 500 * time.Millisecond
	c.LeaderLeaseTimeout = 250 * time.Millisecond
	c.CommitTimeout = 5 * time.Millisecond
	c.MaxAppendEntries = 512
	c.BatchApplyCh = true
	c.NoSnapshotRestoreOnStart = true
	c.SnapshotThreshold = 32 << 10
	c.TrailingLogs = 100_000
	c.NoLegacyTelemetry = true
	c.Logger = log
	return c
}

// startRaft bootstraps a new log with ourselves as its only voter, unless we shall join another, and starts.
func (s *Raft) startRaft(snaps raft.SnapshotStore, c *raft.Config) error {
	addr := raft.ServerAddress(s.id)
	var trans raft.Transport
	if s.cfg.Net == nil {
		_, s.trans = raft.NewInmemTransport(addr)
		trans = s.trans
	} else {
		s.port = newPort(s)
		s.network = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: layer{s.port}, MaxPool: 3, Timeout: rpcTime, Logger: c.Logger,
		})
		trans = &transport{s.network, s.port.ending, 4 * rpcTime}
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
	}
	if list, err := snaps.List(); err != nil {
		return err
	} else if last == 0 && len(list) == 0 && (s.cfg.Net == nil || s.cfg.Net.Bootstrap) {
		// A start that died between the two writes of a bootstrap has left a term and no membership: begin again.
		if err := s.logs.SetUint64([]byte("CurrentTerm"), 0); err != nil {
			return err
		}
		servers := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: addr}}}
		if err := raft.BootstrapCluster(c, s.logs, s.logs, snaps, trans, servers); err != nil {
			return fmt.Errorf("starting a new log: %w", err)
		}
	}
	recent, err := raft.NewLogCache(recentEntries, s.logs) // what was just written is read at once, by replication and by the state machine
	if err != nil {
		return err
	}
	if s.raft, err = raft.NewRaft(c, machine{s}, recent, s.logs, snaps, trans); err != nil {
		return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
	}
	if s.port != nil {
		s.port.of.Store(s.raft)
	}
	return nil
}

// lead waits until we lead and the log is applied. A single voter need not wait for the silence of a leader: it tells
// itself to stand at once.
func (s *Raft) lead() error {
	servers := s.raft.GetConfiguration().Configuration().Servers
	if len(servers) > 0 && !slices.ContainsFunc(servers, func(m raft.Server) bool { return nameOf(m.ID) == s.cfg.Name }) {
		var names []string
		for _, m := range servers {
			names = append(names, nameOf(m.ID))
		}
		return fmt.Errorf("the data folder %s belongs to conductor %q, not to %q: give that name or another folder", s.cfg.Dir, strings.Join(names, ", "), s.cfg.Name)
	}
	if len(servers) > 0 && !slices.ContainsFunc(servers, func(m raft.Server) bool { return m.ID == s.id }) {
		return fmt.Errorf("%s says that this conductor is %q in the log, which knows it as %q: the file is missing or damaged; write that name into it", s.dir.memberFile(), s.id, known(servers, s.cfg.Name))
	}
	if s.port != nil {
		return s.joinLog(servers)
	}
	if len(servers) > 1 {
		return fmt.Errorf("the data folder %s is that of a member of a log of %d: start with --gossip-listen and --join as before, or make it a log of its own by \"ferrite cluster recover\"", s.cfg.Dir, len(servers))
	}
	addr := raft.ServerAddress(s.id)
	_, starter := raft.NewInmemTransport("starter of " + addr)
	starter.Connect(addr, s.trans)
	defer starter.DisconnectAll()
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	if err := starter.TimeoutNow(s.id, addr, req, &raft.TimeoutNowResponse{}); err != nil {
		s.log.Debug("no early election", "err", err)
	}
	ctx, cancel := context.WithTimeout(s.life, startTime)
	defer cancel()
	for {
		_, err := s.ReadIndex(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNoQuorum) {
			return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log in %s found no leader within %s: %w", s.dir.wal(), startTime, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// fail ends the process after a failed write or read of the disk: what was acknowledged is in the log, and the next start reads it.
func (s *Raft) fail(err error) {
	s.log.Error("the disk failed: ending at once, because a second try could only pretend to succeed", "dir", s.cfg.Dir, "err", err, "do", remedy(err))
	s.cfg.Exit(1)
	if s.replica != nil {
		go s.stop(err) // only tests get here; the caller may hold the replica's lock
	}
}

// LeaderContact implements Store.
func (s *Raft) LeaderContact() time.Time {
	if s.leading() {
		now := time.Now()
		s.led.Store(&now)
		return now
	}
	heard := s.raft.LastContact()
	if led := s.led.Load(); led != nil && led.After(heard) { // it led until a moment ago
		return *led
	}
	return heard
}

// Voters are the names of the members that vote.
func (s *Raft) Voters() (out []string) {
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		if m.Suffrage == raft.Voter {
			out = append(out, nameOf(m.ID))
		}
	}
	return out
}

// Role implements Store.
func (s *Raft) Role() (leader string, voter, isLeader bool) {
	_, id := s.raft.LeaderWithID()
	for _, m := range s.raft.GetConfiguration().Configuration().Servers {
		voter = voter || m.ID == s.id && m.Suffrage == raft.Voter
	}
	return nameOf(id), voter, s.leading()
}

// Close implements Store: what was submitted is settled first.
func (s *Raft) Close() error {
	s.closing.Do(func() { s.closeErr = s.release() })
	return s.closeErr
}

// release undoes Open, as far as it came.
func (s *Raft) release() error {
	var errs []error
	if s.committer != nil {
		s.committer.close(5 * time.Second)
	}
	if s.raft != nil && s.port != nil && s.leading() {
		if err := s.raft.LeadershipTransfer().Error(); err != nil { // else the others wait for our silence
			s.log.Debug("no other member leads the log yet", "err", err)
		}
	}
	s.end()
	if s.port != nil {
		s.port.end()
	}
	if s.raft != nil {
		errs = append(errs, s.raft.Shutdown().Error())
	}
	if s.port != nil {
		s.leader.close()
		s.port.close()
	} else if s.cfg.Net != nil {
		_ = s.cfg.Net.Listener.Close()
	}
	s.background.Wait()
	if s.replica != nil {
		errs = append(errs, s.shut())
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
