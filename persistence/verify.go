// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"ferrite/inventory"
	"ferrite/node"
)

// maxProblems is how many problems a Report spells out.
const maxProblems = 20

// Report is what a look at a backup or a data folder has found.
type Report struct {
	Info     BackupInfo     // of a backup
	Applied  node.Rev       // newest log entry whose effects are in the state
	Records  map[string]int // by name of their kind
	Events   int            // notifications in the outbox
	Secrets  int            // sealed values
	Opened   bool           // each of these was opened with a key
	Entries  int            // of the log, in a data folder
	Problems []string       // what is wrong and where; empty = nothing is
	More     int            // problems that are not spelled out
}

// Err is nil when nothing is wrong.
func (r *Report) Err() error {
	if n := len(r.Problems) + r.More; n > 0 {
		return fmt.Errorf("%d problems: the first is: %s", n, r.Problems[0])
	}
	return nil
}

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) == maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// CheckBackup reads a backup to its end: checksums, every record, and whether indexes and records agree. Without keys
// the secrets stay closed. progress, if given, is told how many pairs of about so many have been read. The error is for
// a file that is no backup, or one that cannot be read on; what is wrong inside stands in the Report.
func CheckBackup(r io.Reader, keys [][]byte, progress func(done, about int)) (*Report, error) {
	seal, err := newSealer(keys...)
	if err != nil {
		return nil, err
	}
	b, err := openBackup(r)
	if err != nil {
		return nil, err
	}
	i := newInspection(newCodec(seal))
	i.Info = b.info
	err = b.each(func(key, value []byte) error {
		i.pair(key, value)
		if progress != nil {
			progress(i.pairs, b.info.Pairs)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	i.finish()
	if i.Applied != b.info.Rev {
		i.problem("the backup says that it is of revision %d, but what is in it is of %d", b.info.Rev, i.Applied)
	}
	return &i.Report, nil
}

// inspection looks at the pairs of a storage one after another, and at the end at how they fit together.
type inspection struct {
	Report
	codec   *codec
	pairs   int
	applied bool
	last    queued
	nodes   map[string]bool
	owners  map[string]string // node by what hangs on it
	uniq    map[string]Key
	newest  node.Rev // of all revisions seen
	where   string   // of it
}

func newInspection(c *codec) *inspection {
	return &inspection{
		codec: c, Report: Report{Records: map[string]int{}, Opened: len(c.seal.keys()) > 0},
		nodes: map[string]bool{}, owners: map[string]string{}, uniq: map[string]Key{},
	}
}

func (i *inspection) pair(key, value []byte) {
	i.pairs++
	switch {
	case len(key) == 0:
		i.problem("pair %d has no key", i.pairs)
	case key[0] == keyRecord:
		i.record(key, value)
	case key[0] == keyEvent:
		i.event(key, value)
	case key[0] == keyApplied && len(key) == 1:
		i.applied = true
		if len(value) != 8 {
			i.problem("the applied revision has %d bytes, wanted 8", len(value))
			return
		}
		i.Applied = node.Rev((&reader{b: value}).uint64())
	default:
		i.problem("pair %d has the key %q: nothing has such a key", i.pairs, key)
	}
}

func (i *inspection) record(key, value []byte) {
	k, err := parseRecordKey(key)
	if err != nil {
		i.problem("pair %d: %v", i.pairs, err)
		return
	}
	i.Secrets += countSealed(value)
	c, body, err := decodeRecord(k, value)
	if err == nil {
		c.value, err = i.codec.decode(k, body)
	}
	if err != nil {
		i.problem("%v", err)
		return
	}
	name := kinds[k.Kind].name
	i.Records[name]++
	if c.rev > i.newest {
		i.newest, i.where = c.rev, name+" "+k.ID
	}
	if c.rev < c.created || c.created == 0 {
		i.problem("%s %s was written at revision %d, but created at %d", name, k.ID, c.rev, c.created)
	}
	for _, u := range c.uniq {
		if other, taken := i.uniq[u]; taken {
			i.problem("%q is held by %s %s and by %s %s", u, kinds[other.Kind].name, other.ID, name, k.ID)
		}
		i.uniq[u] = k
	}
	i.value(c, name)
}

// value holds a record against its key and its unique keys.
func (i *inspection) value(c *rec, name string) {
	holds := func(prefix, what string) {
		if what != "" && !slices.Contains(c.uniq, prefix+what) {
			i.problem("%s %s does not hold the unique key %q that is its own", name, c.key.ID, prefix+what)
		}
	}
	switch v := c.value.(type) {
	case *node.Node:
		i.nodes[v.UUID] = true
		if v.UUID != c.key.ID {
			i.problem("node %s holds the record of node %s", c.key.ID, v.UUID)
		}
		holds("name/", v.Name)
		holds("instance/", v.InstanceUUID)
	case *inventory.Port:
		i.owners["port "+v.UUID] = v.NodeUUID
		if v.UUID != c.key.ID {
			i.problem("port %s holds the record of port %s", c.key.ID, v.UUID)
		}
		holds("mac/", v.Address)
	}
}

func (i *inspection) event(key, value []byte) {
	i.Events++
	q, err := parseEventKey(key)
	if err == nil {
		_, err = decodeEvent(value)
	}
	if err != nil {
		i.problem("notification %d: %v", i.Events, err)
		return
	}
	if i.Events > 1 && q.reached(i.last.rev, i.last.index) {
		i.problem("notification %d.%d stands behind %d.%d", q.rev, q.index, i.last.rev, i.last.index)
	}
	i.last = q
	if q.rev > i.newest {
		i.newest, i.where = q.rev, fmt.Sprintf("notification %d.%d", q.rev, q.index)
	}
}

// finish looks at what can be told only when all pairs were there.
func (i *inspection) finish() {
	if !i.applied {
		if i.pairs > 0 {
			i.problem("the revision that all this is of is missing")
		}
		return
	}
	if i.newest > i.Applied {
		i.problem("%s is of revision %d, but all this is of %d", i.where, i.newest, i.Applied)
	}
	for what, uuid := range i.owners {
		if !i.nodes[uuid] {
			i.problem("%s hangs on node %s: there is no such node", what, uuid)
		}
	}
}

// countSealed counts the sealed values in a stored record.
func countSealed(data []byte) int {
	return bytes.Count(data, []byte(`"`+keyedMark)) + bytes.Count(data, []byte(`"`+sealedMark))
}
