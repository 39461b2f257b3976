// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// rpcTime is how long a member has to answer one of raft's messages.
const rpcTime = 5 * time.Second

// transport is raft's own, except that a send into a pipeline ends for certain.
//
// Raft's does not: its reader goes when a follower tells of a newer term, and a send that comes later waits for a reader, for
// ever. Nobody closes that pipeline, for it is the sender who would; and raft's end waits for the sender. A leader that was
// paused, deposed meanwhile, and is then told to end, would never end.
type transport struct {
	*raft.NetworkTransport
	ending   <-chan struct{} // nobody waits any more
	patience time.Duration   // longer than any send takes: of the one before and of this one
}

// AppendEntriesPipeline implements raft.Transport.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	w := &pipeline{AppendPipeline: p, patience: t.patience, done: make(chan struct{})}
	go func() {
		select {
		case <-t.ending:
			_ = p.Close()
		case <-w.done:
		}
	}()
	return w, nil
}

// pipeline is one whose sends do not wait for ever.
type pipeline struct {
	raft.AppendPipeline
	patience time.Duration
	done     chan struct{}
	once     sync.Once
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(q *raft.AppendEntriesRequest, r *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	stuck := time.AfterFunc(p.patience, func() { _ = p.AppendPipeline.Close() })
	defer stuck.Stop()
	return p.AppendPipeline.AppendEntries(q, r)
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.done) })
	return p.AppendPipeline.Close()
}
