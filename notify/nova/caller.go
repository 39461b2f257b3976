// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"ferrite/notify"
)

const (
	tries     = 3 // of a request (N3)
	noTimeout = 10 * time.Second
)

// Caller is the Bus that leads to Nova. Publish collects, Confirm sends.
type Caller struct {
	cfg      Config
	log      *slog.Logger
	http     *http.Client
	key      token // owned by the Publisher's goroutine, as is batch
	batch    []waiting
	mu       sync.Mutex // guards stats
	stats    Stats
	deaf     bool // Nova did not answer the last request
	deafened time.Time
}

var _ notify.Bus = (*Caller)(nil)

// waiting is a record with the id of its event.
type waiting struct {
	record
	id, node string
}

// Stats are a Caller's figures since it was made.
type Stats struct {
	Sent       uint64 // events that Nova has taken
	Superseded uint64 // events that were not sent because a newer one of the same server was
	Failed     uint64 // requests to Nova or Keystone that failed; each is tried up to three times
	Dropped    uint64 // events that Nova has not taken: refused, or three tries failed
}

// New returns a caller. It sends nothing.
func New(cfg Config) (*Caller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = noTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Pause == nil {
		cfg.Pause = func(try int) time.Duration {
			base := time.Second << (try - 2)
			return base/2 + rand.N(base)
		}
	}
	client, err := cfg.client()
	if err != nil {
		return nil, err
	}
	return &Caller{cfg: cfg, log: cfg.Logger, http: client}, nil
}

// Stats returns the figures; from any goroutine.
func (c *Caller) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *Caller) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// Publish keeps a record until Confirm.
func (c *Caller) Publish(_ context.Context, p notify.Packet) error {
	w := waiting{id: p.ID, node: p.Node}
	if err := json.Unmarshal(p.Body, &w.record); err != nil || w.Server == "" || w.Tag == "" {
		c.count(func(s *Stats) { s.Dropped++ })
		return errors.Join(notify.ErrRefused, errors.New("wanted a record for Nova"), err)
	}
	c.batch = append(c.batch, w)
	return nil
}

// Confirm tells Nova what was collected, trying three times. It fails only when ctx ends: then nothing counts as told.
func (c *Caller) Confirm(ctx context.Context) error {
	batch := newest(c.batch)
	if len(batch) == 0 {
		return nil
	}
	var err error
	for try := 1; try <= tries; try++ {
		if try > 1 && !sleep(ctx, c.cfg.Pause(try)) {
			return ctx.Err()
		}
		var told []verdict
		if told, err = c.tell(ctx, batch); err == nil {
			c.heard(batch, told)
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.count(func(s *Stats) { s.Failed++ })
		var final *refusal
		if errors.As(err, &final) {
			break
		}
	}
	c.count(func(s *Stats) { s.Superseded += uint64(len(c.batch) - len(batch)) })
	if err != nil {
		c.lost(batch, err)
	}
	c.batch = c.batch[:0]
	return nil
}

// Reset forgets what was collected; the publisher will bring it again.
func (c *Caller) Reset() {
	c.batch = c.batch[:0]
	c.http.CloseIdleConnections()
}

// newest leaves of each server its last record, in the order of these.
func newest(batch []waiting) []waiting {
	last := make(map[string]int, len(batch))
	for i, w := range batch {
		last[w.Server] = i
	}
	out := make([]waiting, 0, len(last))
	for i, w := range batch {
		if last[w.Server] == i {
			out = append(out, w)
		}
	}
	return out
}

// verdict is what Nova said of one event: its code.
type verdict struct {
	Server string `json:"server_uuid"`
	Code   int    `json:"code"`
	Status string `json:"status"`
}

// heard counts an answer of Nova. An event that it did not name counts as taken.
func (c *Caller) heard(batch []waiting, told []verdict) {
	if c.deaf {
		c.log.Info("Nova answers again", "after", time.Since(c.deafened).Round(time.Millisecond))
		c.deaf = false
	}
	code := make(map[string]verdict, len(told))
	for _, v := range told {
		code[v.Server] = v
	}
	for _, w := range batch {
		v := code[w.Server]
		if v.Code >= http.StatusBadRequest {
			c.count(func(s *Stats) { s.Dropped++ })
			c.log.Warn("Nova refused a power update", "node", w.node, "instance", w.Server, "tag", w.Tag, "request_id", w.Request, "code", v.Code, "status", v.Status)
			continue
		}
		c.count(func(s *Stats) { s.Sent++ })
		c.log.Debug("Nova was told of a power update", "node", w.node, "instance", w.Server, "tag", w.Tag, "request_id", w.Request)
	}
}

// lost counts and logs what Nova will not hear of.
func (c *Caller) lost(batch []waiting, err error) {
	c.count(func(s *Stats) { s.Dropped += uint64(len(batch)) })
	if !c.deaf {
		c.deaf, c.deafened = true, time.Now()
	}
	for _, w := range batch {
		c.log.Warn("Nova was not told of a power update", "node", w.node, "instance", w.Server, "tag", w.Tag, "request_id", w.Request, "error", err)
	}
}

// sleep waits; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
