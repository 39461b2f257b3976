// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// termJump is by how much a recovery raises the term: the lost members' entries, and those of elections that they hold when they
// are started again, are never taken for entries of the recovered log.
const termJump = 1000

// Recover makes the log in a stopped conductor's folder one of a single voter, itself: the way out when most voters are
// lost for good. What only the lost ones held is lost; and if one of them runs on, there are two logs that know nothing of
// each other. So it is an explicit act of an operator, who first makes sure that the others are stopped.
//
// The log is that of another cluster from there on, with an id of its own: whoever comes back with a folder of before is refused,
// and what is told from now on bears ids that nothing of before had (N2). A process that is killed leaves a folder that is
// refused until Recover has come to its end.
func Recover(dir, name string, log *slog.Logger) error {
	d := folder(dir)
	if fresh, err := Fresh(dir); err != nil || fresh {
		return errors.Join(err, fmt.Errorf("the data folder %s has no log: nothing to recover", dir))
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := d.restored(); err != nil {
		return err
	}
	id, err := d.member(name, false)
	if err != nil {
		return err
	}
	r := recovery{d: d, log: newRaftLog(log)}
	w, err := openLog(d.wal(), r.log)
	if err != nil {
		return cannotOpen("log", d.wal(), err)
	}
	if err = r.look(w); err == nil {
		err = r.owned(id, name)
	}
	if err == nil {
		err = r.write(w, id)
	}
	return errors.Join(err, w.Close())
}

// recovery is what Recover finds.
type recovery struct {
	d          folder
	log        *raftLog
	last, term uint64             // of the log and its newest snapshot
	servers    raft.Configuration // the newest one
	former     []string           // ids of the cluster that its state and its log name
}

// look reads the log and its snapshots, and changes nothing.
func (r *recovery) look(w logStore) error {
	cannot := func(err error) error { return fmt.Errorf("the log in %s: %w", r.d.wal(), err) }
	first, err := w.FirstIndex()
	if err != nil {
		return cannot(err)
	}
	if r.last, err = w.LastIndex(); err != nil {
		return cannot(err)
	}
	if r.term, err = w.GetUint64([]byte("CurrentTerm")); err != nil {
		return cannot(err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(string(r.d), 2, r.log)
	if err != nil {
		return fmt.Errorf("the snapshots in %s: %w", r.d, err)
	}
	list, err := snaps.List()
	if err != nil {
		return fmt.Errorf("the snapshots in %s: %w", r.d, err)
	}
	if len(list) > 0 { // one that came from the leader may be all there is
		r.last, r.term, r.servers = max(r.last, list[0].Index), max(r.term, list[0].Term), list[0].Configuration
	}
	applied, err := r.state()
	if err != nil {
		return err
	}
	for at := max(first, 1); first > 0; at++ {
		var l raft.Log
		if err := w.GetLog(at, &l); errors.Is(err, raft.ErrLogNotFound) {
			return nil
		} else if err != nil {
			return cannot(fmt.Errorf("entry %d: %w", at, err))
		}
		r.term = max(r.term, l.Term)
		switch {
		case l.Type == raft.LogConfiguration && (len(list) == 0 || at > list[0].ConfigurationIndex):
			r.servers = raft.DecodeConfiguration(l.Data)
		case l.Type == raft.LogCommand && at > applied:
			if err := r.entry(l.Data); err != nil {
				return cannot(fmt.Errorf("entry %d: %w", at, err))
			}
		}
	}
	return nil
}

// owned refuses a name that is not the folder's by its log: the one that began it has no member.id.
func (r *recovery) owned(id raft.ServerID, name string) error {
	var founders []string
	for _, m := range r.servers.Servers {
		if m.ID == id {
			return nil
		}
		if !strings.Contains(string(m.ID), "#") {
			founders = append(founders, nameOf(m.ID))
		}
	}
	switch {
	case string(id) != name: // member.id says who it is, and the newest change of the members may have come after its leaving
		return nil
	case known(r.servers.Servers, name) != "":
		return fmt.Errorf("the log in %s knows %s as %q, but the folder has no %s: it is that of another conductor, or the file is gone; give the right name, or write that text into it",
			r.d, name, known(r.servers.Servers, name), r.d.memberFile())
	case len(founders) == 0:
		return fmt.Errorf("the log in %s does not know a conductor %q: give the name of the one whose folder it is", r.d, name)
	default:
		return fmt.Errorf("the data folder %s belongs to conductor %q, not to %q: give that name or another folder", r.d, strings.Join(founders, ", "), name)
	}
}

// state reads the cluster's id from the state, and up to which entry that is.
func (r *recovery) state() (applied uint64, err error) {
	path, err := r.d.state()
	if err != nil {
		return 0, err
	}
	store, err := openBadger(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	v := store.view()
	defer v.close()
	rev, err := appliedOf(v)
	if err != nil {
		return 0, err
	}
	data, err := v.get(recordKey(clusterKey))
	if err != nil || data == nil {
		return uint64(rev), err
	}
	_, body, err := decodeRecord(clusterKey, data)
	if err != nil {
		return 0, err
	}
	return uint64(rev), r.named(body)
}

// entry looks for an id in an entry that has yet to be applied.
func (r *recovery) entry(data []byte) error {
	e, err := decodeEntry(data)
	if err != nil {
		return err
	}
	for _, p := range e.puts {
		if p.key == clusterKey {
			return r.named(p.data)
		}
	}
	return nil
}

func (r *recovery) named(body []byte) error {
	v, err := plainCodec().decode(clusterKey, body)
	if err != nil {
		return err
	}
	if id, ok := v.([]byte); ok {
		r.former = append(r.former, string(id))
	}
	return nil
}

// plainCodec is for records without secrets.
func plainCodec() *codec {
	s, _ := newSealer() // what is not given cannot be wrong
	return newCodec(s)
}

// write makes the folder that of another cluster, and the log one of a single voter. The two entries are one batch of the log's
// file, which is there as a whole or not at all.
func (r *recovery) write(w logStore, id raft.ServerID) error {
	before, err := r.d.belongs()
	if err != nil {
		return err
	}
	now := before.after(uuid.NewString(), r.former...)
	body, err := plainCodec().encode(clusterKey, []byte(now.Cluster))
	if err != nil {
		return err
	}
	e := &entry{at: time.Now().UnixNano(), puts: []entryPut{{key: clusterKey, data: body}}} // without a condition: it is so
	_, _ = rand.Read(e.id[:])
	servers := raft.Configuration{Servers: []raft.Server{{ID: id, Address: raft.ServerAddress(id)}}}
	term := r.term + termJump
	if err := writeFile(r.d.recovering(), []byte("ferrite cluster recover\n")); err != nil {
		return err
	}
	if err := r.d.belong(now); err != nil {
		return err
	}
	if err := w.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	if err := w.StoreLogs([]*raft.Log{
		// An entry like any other change of the members: the newest one counts, committed or not.
		{Index: r.last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(servers)},
		{Index: r.last + 2, Term: term, Type: raft.LogCommand, Data: e.encode()},
	}); err != nil {
		return err
	}
	if err := os.Remove(r.d.recovering()); err != nil {
		return err
	}
	return syncDir(string(r.d))
}

// recovering is there while a folder is being recovered.
func (d folder) recovering() string { return filepath.Join(string(d), "RECOVERING") }

// recovered refuses a folder whose recovery did not come to its end.
func (d folder) recovered() error {
	if _, err := os.Lstat(d.recovering()); err == nil {
		return fmt.Errorf("the recovery of %s did not come to its end: run \"ferrite cluster recover\" again", d)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
