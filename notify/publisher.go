// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"ferrite/node"
)

// Config of a Publisher. Feed and Bus are needed.
type Config struct {
	Feed   Feed
	Bus    Bus
	Logger *slog.Logger
	Clock  Clock // nil = the system's
	// Cluster makes message ids differ between clusters that share one NATS: it is mixed into the namespace of the
	// UUIDs. Let it change when a backup is restored, since revisions are then used a second time. "" = those of Finish.
	Cluster string
	// Takes says which events are this publisher's, by their subject; it passes by the others. nil = all but Internal ones.
	Takes func(subject string) bool
}

const (
	batchSize   = 256                    // events published before one confirmation
	cursorEvery = time.Second            // the cursor is committed at most this often (N2)
	cursorWait  = 5 * time.Second        // for one commit of the cursor
	lastWait    = time.Second            // for the commit of the cursor when Run ends
	pauseLeast  = 100 * time.Millisecond // first pause after a failure; each further one doubles
	pauseMax    = 5 * time.Second
)

// place is a position in the outbox.
type place struct {
	rev   node.Rev
	index int
}

// Publisher carries events from the log to NATS: in order, at least once (N2). Only the leader of the log runs one.
type Publisher struct {
	feed  Feed
	bus   Bus
	clock Clock
	log   *slog.Logger
	space uuid.UUID
	takes func(subject string) bool
	stats counters

	// Owned by Run.
	done    place     // the last event that NATS confirmed
	saved   place     // the cursor in the log
	savedAt time.Time // when it was last written, or Run began
	reading outage
	sending outage
	saving  outage
}

// New returns a publisher; Run starts it.
func New(cfg Config) *Publisher {
	p := &Publisher{feed: cfg.Feed, bus: cfg.Bus, clock: cfg.Clock, log: cfg.Logger, space: spaceOf(cfg.Cluster), takes: cfg.Takes}
	if p.clock == nil {
		p.clock = systemClock{}
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.takes == nil {
		p.takes = func(subject string) bool { return !Internal(subject) }
	}
	p.reading = outage{what: "notifications cannot be read from the log", over: "notifications can be read from the log again"}
	p.sending = outage{what: "notifications wait: NATS does not take them", over: "NATS takes notifications again"}
	p.saving = outage{what: "the place of notifications cannot be saved: some will come twice", over: "the place of notifications is saved again"}
	return p
}

// Run publishes from the cursor on until ctx ends, then saves the cursor and drops the connection. It may be called
// again afterwards. The error is nil: nothing but ctx ends it.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.bus.Reset()
	p.done.rev, p.done.index = p.feed.Cursor()
	p.saved, p.savedAt = p.done, p.clock.Now()
	p.stats.begin(p.done)
	defer p.stats.end()
	for ctx.Err() == nil {
		if p.cursorDue() <= 0 {
			p.save(ctx, cursorWait)
		}
		batch, err := p.next(ctx)
		if err != nil {
			p.failed(ctx, &p.reading, err)
			continue
		}
		p.worked(&p.reading)
		p.deliver(ctx, batch)
	}
	if p.done != p.saved {
		p.save(context.WithoutCancel(ctx), lastWait)
	}
	return nil
}

// next waits for events, but no longer than until the cursor has to be written; then it returns none.
func (p *Publisher) next(ctx context.Context) ([]Outgoing, error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.done != p.saved {
		stop := p.clock.AfterFunc(p.cursorDue(), cancel)
		defer stop()
	}
	batch, err := p.feed.Next(wait, p.done.rev, p.done.index, batchSize)
	if err != nil && wait.Err() != nil {
		return nil, nil // the cursor's turn, or the end
	}
	return batch, err
}

// deliver publishes the batch until NATS has confirmed it, however long that takes.
func (p *Publisher) deliver(ctx context.Context, batch []Outgoing) {
	if len(batch) == 0 {
		return
	}
	end := batch[len(batch)-1]
	if batch = p.mine(batch); len(batch) == 0 {
		p.passed(place{end.Rev, end.Index})
		return
	}
	p.stats.lag(len(batch), p.clock.Now())
	for again := false; ctx.Err() == nil; again = true {
		if again {
			p.stats.retry()
		}
		refused, err := p.attempt(ctx, batch)
		if err == nil {
			p.worked(&p.sending)
			p.done = place{end.Rev, end.Index}
			p.stats.confirmed(len(batch)-len(refused), len(refused), p.done)
			for i, why := range refused {
				p.log.Error("notification dropped: it will never be taken", "rev", Place(batch[i].Rev, batch[i].Index), "subject", batch[i].Subject, "node", batch[i].Node, "bytes", len(batch[i].Body), "error", why)
			}
			return
		}
		p.bus.Reset()
		p.failed(ctx, &p.sending, err)
		if p.cursorDue() <= 0 {
			p.save(ctx, cursorWait)
		}
	}
}

// mine leaves out what others take.
func (p *Publisher) mine(batch []Outgoing) []Outgoing {
	return slices.DeleteFunc(batch, func(o Outgoing) bool { return !p.takes(o.Subject) })
}

// passed goes on behind events that are all somebody else's.
func (p *Publisher) passed(at place) {
	p.done = at
	p.stats.confirmed(0, 0, at)
}

// attempt publishes the batch once and waits for the confirmation. It also tells which events can never be published.
func (p *Publisher) attempt(ctx context.Context, batch []Outgoing) (refused map[int]error, err error) {
	for i, o := range batch {
		err := p.bus.Publish(ctx, seal(p.space, o))
		switch {
		case err == nil:
		case errors.Is(err, ErrRefused):
			if refused == nil {
				refused = make(map[int]error)
			}
			refused[i] = err
		default:
			return nil, err
		}
	}
	return refused, p.bus.Confirm(ctx)
}

// cursorDue is how long the cursor may still wait; far away when it is where it should be.
func (p *Publisher) cursorDue() time.Duration {
	if p.done == p.saved {
		return cursorEvery
	}
	return p.savedAt.Add(cursorEvery).Sub(p.clock.Now())
}

// save commits the cursor. A failure is not waited for: the next turn tries again.
func (p *Publisher) save(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p.savedAt = p.clock.Now()
	if err := p.feed.SetCursor(ctx, p.done.rev, p.done.index); err != nil {
		p.note(&p.saving, err)
		return
	}
	p.saved = p.done
	p.worked(&p.saving)
}

// outage is a trouble that is logged when it begins and when it is over.
type outage struct {
	what, over string
	since      time.Time
	tries      int // failures in a row, 0 = no trouble
}

// failed notes a failure and pauses, longer each time and never in step with others.
func (p *Publisher) failed(ctx context.Context, o *outage, err error) {
	if ctx.Err() != nil {
		return // the end is not a failure
	}
	p.note(o, err)
	pause := pauseMax
	if o.tries <= 6 {
		pause = min(pauseLeast<<(o.tries-1), pauseMax)
	}
	pause = pause/2 + rand.N(pause/2)
	woken := make(chan struct{})
	stop := p.clock.AfterFunc(pause, func() { close(woken) })
	defer stop()
	select {
	case <-woken:
	case <-ctx.Done():
	}
}

func (p *Publisher) note(o *outage, err error) {
	if o.tries == 0 {
		o.since = p.clock.Now()
		p.log.Warn(o.what, "error", err, "from", Place(p.done.rev, p.done.index))
	}
	o.tries++
	p.stats.failed(err, p.clock.Now(), o == &p.sending)
}

func (p *Publisher) worked(o *outage) {
	if o == &p.sending {
		p.stats.up()
	}
	if o.tries == 0 {
		return
	}
	p.log.Info(o.over, "after", p.clock.Now().Sub(o.since), "failures", o.tries)
	o.tries = 0
}
