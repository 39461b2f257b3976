// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"math/rand/v2"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

// HistoryLimit bounds the history of a node (spec conductor-rpc.md, periodic tasks). Nothing is trimmed when one of the
// three is 0.
type HistoryLimit struct {
	Keep  int           // entries of a node that stay: node_history_max_entries
	Batch int           // entries deleted by one write, 2000 at most: node_history_cleanup_batch_count
	Every time.Duration // node_history_cleanup_interval
}

// maxBatch keeps a write of keys far below the log's limit of an entry.
const maxBatch = 2000

// trimHistories deletes the oldest entries of long histories now and then until ctx ends; the first time is anywhere in
// the first interval, so that conductors that start together do not trim together.
func (f *Fleet) trimHistories(ctx context.Context) {
	l := f.cfg.History
	if l.Keep <= 0 || l.Batch <= 0 || l.Every <= 0 {
		return
	}
	wait := time.NewTimer(time.Duration(rand.Int64N(int64(l.Every)))) //nolint:gosec // spreads load, no secret
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if gone, err := f.TrimHistory(ctx); err != nil && ctx.Err() == nil {
			f.cfg.Logger.Warn("the history could not be trimmed, trying again later", "deleted", gone, "error", err)
		} else if gone > 0 {
			f.cfg.Logger.Info("history trimmed", "deleted", gone, "kept_per_node", l.Keep)
		}
		wait.Reset(l.Every)
	}
}

// TrimHistory deletes what is above the limit on all nodes of this conductor, oldest first; it returns how many entries
// are gone.
func (f *Fleet) TrimHistory(ctx context.Context) (gone int, err error) {
	var mine []string
	f.cfg.Store.Nodes(nil, func(n *node.Node) bool {
		if f.cfg.Wanted(n) {
			mine = append(mine, n.UUID)
		}
		return true
	})
	var del []persistence.Record
	flush := func() error {
		if len(del) == 0 {
			return nil
		}
		tx := persistence.Tx{If: []persistence.Cond{{Key: del[0].Key, Rev: del[0].Rev}}} // entries never change: one stands for all
		for _, r := range del {
			tx.Del = append(tx.Del, r.Key)
		}
		_, err := f.cfg.Store.Commit(ctx, tx)
		if err == nil {
			gone += len(del)
		}
		del = nil
		return err
	}
	for _, uuid := range mine {
		for _, r := range f.oldHistory(uuid) {
			if del = append(del, r); len(del) >= min(f.cfg.History.Batch, maxBatch) {
				if err := flush(); err != nil {
					return gone, err
				}
			}
		}
		if ctx.Err() != nil {
			return gone, ctx.Err()
		}
	}
	return gone, flush()
}

// oldHistory are a node's entries before the newest ones that stay. Their keys are in the order of time.
func (f *Fleet) oldHistory(uuid string) []persistence.Record {
	var all []persistence.Record
	f.cfg.Store.Scan(persistence.KindHistory, uuid+"/", func(r persistence.Record) bool {
		r.Value = nil
		all = append(all, r)
		return true
	})
	return all[:max(0, len(all)-f.cfg.History.Keep)]
}
