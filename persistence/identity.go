// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// The id of a cluster is a record of its log, and, from the first recovery on, also a file of each member's folder: a folder that
// is behind the recovery in the log, because it was empty and is being filled, belongs to the new cluster all the same.

// belonging is which cluster a folder belongs to.
type belonging struct {
	Cluster string   // "" = what the log says
	Former  []string `json:",omitempty"` // ids of the log before it was recovered or restored, the newest last
}

// maxFormer bounds the ids that are remembered.
const maxFormer = 16

// after is the belonging to a new cluster that comes from this one.
func (b belonging) after(id string, former ...string) belonging {
	out := belonging{Cluster: id}
	for _, x := range append(append(slices.Clone(b.Former), b.Cluster), former...) {
		if x != "" && x != id && !slices.Contains(out.Former, x) {
			out.Former = append(out.Former, x)
		}
	}
	out.Former = out.Former[max(0, len(out.Former)-maxFormer):]
	return out
}

func (d folder) clusterFile() string { return filepath.Join(string(d), "cluster.id") }

// belongs reads cluster.id; a folder without one belongs to the cluster that its log names.
func (d folder) belongs() (b belonging, err error) {
	data, err := os.ReadFile(d.clusterFile())
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("the cluster that the data folder belongs to: %w", err)
	}
	text, sum, _ := bytes.Cut(data, []byte("\n"))
	if want := sumText(text); string(sum) != want {
		return b, damaged(d.clusterFile(), "its sum is %q, wanted %q", bytes.TrimSpace(sum), want[:len(want)-1])
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, damaged(d.clusterFile(), "%v", err)
	}
	return b, nil
}

// belong writes cluster.id.
func (d folder) belong(b belonging) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return writeFile(d.clusterFile(), append(append(text, '\n'), sumText(text)...))
}

// kinship is a running member's belonging.
type kinship struct {
	mu sync.Mutex // guards b
	b  belonging
}

// mine is the cluster that this member belongs to: by its folder, else by its log.
func (s *Raft) mine() belonging {
	s.kin.mu.Lock()
	b := s.kin.b
	s.kin.mu.Unlock()
	if b.Cluster == "" {
		b.Cluster = settingIn(s.Get(clusterKey))
	}
	return b
}

func settingIn(r Record, ok bool) string {
	b, _ := r.Value.([]byte)
	if !ok {
		return ""
	}
	return string(b)
}

// enrol makes the cluster of the first member that sends log to a folder without any the folder's own, before it takes in a
// byte of that log. hello is what the other one is to hear.
func (s *Raft) enrol(theirs hello) (mine hello, why quarrel, err error) {
	s.kin.mu.Lock()
	defer s.kin.mu.Unlock()
	mine = s.helloAs(s.kin.b)
	if why = objection(mine, theirs); why.kind != noQuarrel || mine.Cluster != "" || theirs.Cluster == "" || s.raft.LastIndex() > 0 {
		return mine, why, nil
	}
	b := belonging{theirs.Cluster, theirs.Former}
	if err := s.dir.belong(b); err != nil {
		return mine, why, err
	}
	s.kin.b = b
	return s.helloAs(b), why, nil
}

// recallKin reads what the folder belongs to. What was adopted before any log came counts no more: it may come from another one now.
func (s *Raft) recallKin(snaps raft.SnapshotStore) error {
	b, err := s.dir.belongs()
	if err != nil {
		return err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("the log in %s: %w", s.dir.wal(), err)
	}
	list, err := snaps.List()
	if err == nil && (last > 0 || len(list) > 0) {
		s.kin.b = b
	}
	return err
}
