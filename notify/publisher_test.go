// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ferrite/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outbox is a Feed in memory.
type outbox struct {
	mu     sync.Mutex // guards the fields below
	events []Outgoing
	more   chan struct{} // closed and replaced when events come
	cursor place
	sets   []time.Time // when the cursor was set
	fail   error       // of SetCursor and, when sick, of Next
	sick   bool
}

func newOutbox() *outbox { return &outbox{more: make(chan struct{})} }

// add appends an entry with n events after the last one and returns its revision.
func (o *outbox) add(n int) node.Rev {
	msgs := make([]Message, n)
	for i := range msgs {
		msgs[i] = Message{Subject: DefaultTopic + ".info.baremetal.node.power_set.end", Node: "node-1", Body: []byte(`{"publisher_id":"x"}`)}
	}
	return o.put(msgs...)
}

func (o *outbox) put(msgs ...Message) node.Rev {
	o.mu.Lock()
	defer o.mu.Unlock()
	rev := node.Rev(10)
	if len(o.events) > 0 {
		rev = o.events[len(o.events)-1].Rev + 3
	}
	for i, m := range msgs {
		o.events = append(o.events, Outgoing{Rev: rev, Index: i, Message: m})
	}
	close(o.more)
	o.more = make(chan struct{})
	return rev
}

func (o *outbox) heal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sick, o.fail = false, nil
}

func (o *outbox) Next(ctx context.Context, rev node.Rev, index, limit int) ([]Outgoing, error) {
	for {
		o.mu.Lock()
		if o.sick {
			defer o.mu.Unlock()
			return nil, o.fail
		}
		var out []Outgoing
		for _, e := range o.events {
			if (e.Rev > rev || e.Rev == rev && e.Index > index) && len(out) < limit {
				out = append(out, e)
			}
		}
		more := o.more
		o.mu.Unlock()
		if out != nil {
			return out, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (o *outbox) Cursor() (node.Rev, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursor.rev, o.cursor.index
}

func (o *outbox) SetCursor(_ context.Context, rev node.Rev, index int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.cursor = place{rev, index}
	o.sets = append(o.sets, time.Now())
	return nil
}

// writes is how often the cursor was written.
func (o *outbox) writes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sets)
}

// places lists what the outbox holds.
func (o *outbox) places() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, e := range o.events {
		out = append(out, Place(e.Rev, e.Index))
	}
	return out
}

// wire is a Bus in memory.
type wire struct {
	fail   func(attempt int) error // of Confirm; attempts count from 0
	refuse string                  // place that is never taken

	mu     sync.Mutex // guards the fields below
	open   []string
	taken  []string // confirmed places
	tries  []time.Time
	resets int
}

func (w *wire) Publish(_ context.Context, p Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Place == w.refuse {
		return fmt.Errorf("%w: too big", ErrRefused)
	}
	w.open = append(w.open, p.Place)
	return nil
}

func (w *wire) Confirm(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.tries)
	w.tries = append(w.tries, time.Now())
	if w.fail != nil {
		if err := w.fail(n); err != nil {
			return err
		}
	}
	w.taken = append(w.taken, w.open...)
	w.open = nil
	return nil
}

func (w *wire) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = nil
	w.resets++
}

func (w *wire) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.taken)
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), word)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// start runs a publisher; the returned func ends it and waits.
func start(t *testing.T, p *Publisher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- p.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestCursor: the cursor is committed at most once a second, only up to what is confirmed, and at the end (N2).
func TestCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, bus := newOutbox(), &wire{}
		p := New(Config{Feed: feed, Bus: bus})
		stop := start(t, p)
		for range 105 {
			feed.add(2)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		feed.mu.Lock()
		if n := len(feed.sets); n < 9 || n > 10 {
			t.Errorf("%d writes of the cursor in 10.5 s, want 9 or 10", n)
		}
		for i := 1; i < len(feed.sets); i++ {
			if gap := feed.sets[i].Sub(feed.sets[i-1]); gap < time.Second {
				t.Errorf("writes of the cursor %v apart", gap)
			}
		}
		feed.mu.Unlock()
		// Left alone, the cursor catches up by itself, and then nothing more is written.
		time.Sleep(3 * time.Second)
		synctest.Wait()
		feed.mu.Lock()
		n, last := len(feed.sets), feed.events[len(feed.events)-1]
		if feed.cursor != (place{last.Rev, last.Index}) {
			t.Errorf("cursor %v, want the last event", feed.cursor)
		}
		feed.mu.Unlock()
		time.Sleep(time.Minute)
		feed.add(1)
		synctest.Wait()
		stop()
		feed.mu.Lock()
		if len(feed.sets) != n+1 {
			t.Errorf("%d writes after %d: wanted one, at the end", len(feed.sets)-n, n)
		}
		feed.mu.Unlock()
		if !slices.Equal(bus.got(), feed.places()) {
			t.Errorf("published %v", bus.got())
		}
		// A second run goes on where the first one ended.
		before := len(bus.got())
		again := start(t, p)
		feed.add(1)
		synctest.Wait()
		again()
		if !slices.Equal(bus.got(), feed.places()) || len(bus.got()) != before+1 {
			t.Errorf("the second run published %v", bus.got()[before:])
		}
	})
}

// TestUnconfirmed: nothing unconfirmed moves the cursor; a batch comes again until it is confirmed; trouble is logged
// when it begins and when it is over; pauses grow to a limit.
func TestUnconfirmed(t *testing.T) {
	const failures = 12
	synctest.Test(t, func(t *testing.T) {
		feed, log := newOutbox(), &lines{}
		bus := &wire{fail: func(n int) error {
			if n < failures {
				return errors.New("no answer")
			}
			return nil
		}}
		p := New(Config{Feed: feed, Bus: bus, Logger: log.logger()})
		stop := start(t, p)
		feed.add(3)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Lag != 3 || s.Up || !s.Runs || !s.Stuck || time.Since(s.Waits) != 2*time.Second || s.Published != 0 || s.LastError != "no answer" || s.LastFail.IsZero() || s.Failures == 0 {
			t.Errorf("while NATS is away: %+v", s)
		}
		if rev, _ := feed.Cursor(); rev != 0 || feed.writes() != 0 {
			t.Errorf("the cursor moved to %d before a confirmation", rev)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := p.Stats(); !s.Runs || s.Stuck || !s.Waits.IsZero() {
			t.Errorf("when NATS is back: %+v", s)
		}
		stop()
		if !slices.Equal(bus.got(), feed.places()) {
			t.Errorf("published %v", bus.got())
		}
		if len(bus.tries) != failures+1 || bus.resets != failures+1 { // one Reset a failure, one at the end
			t.Errorf("%d attempts, %d resets", len(bus.tries), bus.resets)
		}
		for i := 1; i < len(bus.tries); i++ {
			most := min(pauseMax, pauseLeast<<(i-1))
			if gap := bus.tries[i].Sub(bus.tries[i-1]); gap < most/2 || gap > most {
				t.Errorf("pause %d is %v, want %v to %v", i, gap, most/2, most)
			}
		}
		if log.count("level=WARN") != 1 || log.count("level=INFO") != 1 {
			t.Errorf("logged: %s", log.b.String())
		}
		if s := p.Stats(); s.Retries != failures || s.Published != 3 || !s.Up || s.Runs || s.Lag != 0 || s.Failures != failures {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// TestRefusedEvent: an event that can never be sent is logged, counted and does not hold up the others.
func TestRefusedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, log := newOutbox(), &lines{}
		bus := &wire{refuse: "10.1", fail: func(n int) error {
			if n == 0 {
				return errors.New("no answer")
			}
			return nil
		}}
		p := New(Config{Feed: feed, Bus: bus, Logger: log.logger()})
		feed.add(3)
		stop := start(t, p)
		time.Sleep(time.Second)
		stop()
		if got := bus.got(); !slices.Equal(got, []string{"10.0", "10.2"}) {
			t.Errorf("published %v", got)
		}
		if s := p.Stats(); s.Refused != 1 || s.Published != 2 || log.count("level=ERROR") != 1 || log.count("rev=10.1") != 1 {
			t.Errorf("%+v, log %s", s, log.b.String())
		}
	})
}

// TestSickLog: when the log cannot be read or the cursor not be written, the publisher waits and goes on by itself.
func TestSickLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, bus, log := newOutbox(), &wire{}, &lines{}
		feed.fail = errors.New("no quorum")
		p := New(Config{Feed: feed, Bus: bus, Logger: log.logger()})
		stop := start(t, p)
		feed.add(1)
		time.Sleep(1500 * time.Millisecond)
		feed.add(1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !slices.Equal(bus.got(), feed.places()) || log.count("level=WARN") != 1 {
			t.Errorf("published %v, log %s", bus.got(), log.b.String())
		}
		feed.mu.Lock()
		feed.sick = true
		feed.mu.Unlock()
		feed.add(1) // wakes the publisher, which then cannot read
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if log.count("level=WARN") != 2 || len(bus.got()) != 2 {
			t.Errorf("published %v, log %s", bus.got(), log.b.String())
		}
		feed.heal()
		time.Sleep(10 * time.Second)
		stop()
		if !slices.Equal(bus.got(), feed.places()) || log.count("level=INFO") != 2 || feed.cursor.rev != feed.events[2].Rev {
			t.Errorf("published %v, cursor %v, log %s", bus.got(), feed.cursor, log.b.String())
		}
	})
}

// TestClusters: two clusters on one NATS do not share message ids, and neither depends on how often it is published.
func TestClusters(t *testing.T) {
	ids := map[string]bool{}
	for _, cluster := range []string{"", "a", "b", "a"} {
		p := New(Config{Feed: newOutbox(), Bus: &wire{}, Cluster: cluster})
		ids[messageID(p.space, Place(1, 0))] = true
	}
	if len(ids) != 3 || !ids[MessageID(1, 0)] {
		t.Errorf("ids %v", ids)
	}
}
