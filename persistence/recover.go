// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/raft"
)

// Recover makes the log in a stopped conductor's folder one of a single voter, itself: the way out when most voters are
// lost for good. What only the lost ones held is lost; and if one of them runs on, there are two logs that know nothing of
// each other. So it is an explicit act of an operator, who first makes sure that the others are stopped.
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
	if err := d.whole(); err != nil {
		return err
	}
	id, err := d.member(name, false)
	if err != nil {
		return err
	}
	w, err := openLog(d.wal(), newRaftLog(log))
	if err != nil {
		return cannotOpen("log", d.wal(), err)
	}
	last, err := w.LastIndex()
	if err != nil {
		return errors.Join(fmt.Errorf("the log in %s: %w", d.wal(), err), w.Close())
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, newRaftLog(log))
	if err != nil {
		return errors.Join(fmt.Errorf("the snapshots in %s: %w", dir, err), w.Close())
	}
	if list, err := snaps.List(); err != nil {
		return errors.Join(fmt.Errorf("the snapshots in %s: %w", dir, err), w.Close())
	} else if len(list) > 0 { // one that came from the leader may be all there is
		last = max(last, list[0].Index)
	}
	term, err := w.GetUint64([]byte("CurrentTerm"))
	if err == nil {
		servers := raft.Configuration{Servers: []raft.Server{{ID: id, Address: raft.ServerAddress(id)}}}
		// An entry like any other change of the members: the newest one counts, committed or not.
		err = w.StoreLogs([]*raft.Log{{Index: last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(servers)}})
	}
	return errors.Join(err, w.Close())
}
