// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/node"
	"ferrite/notify"
)

// SensorData is how sensors are collected: Ironic's group [sensor_data].
type SensorData struct {
	Send       bool          // send_sensor_data; false = nothing is read
	Interval   time.Duration // between the beginnings of two rounds
	Workers    int           // machines that are read at once
	Wait       time.Duration // how long a round may take; those that it did not reach come first in the next; 0 = no limit
	Undeployed bool          // enable_for_undeployed_nodes: not only nodes in state active
	Nodes      bool          // enable_for_nodes
	Conductor  bool          // enable_for_conductor: figures of the conductor itself
	Types      []string      // data_types; ALL = every one
	Topics     []string      // of the messages; none = "notifications"
}

// DefaultSensorData is Ironic's.
func DefaultSensorData() SensorData {
	return SensorData{Interval: 600 * time.Second, Workers: 4, Wait: 300 * time.Second, Nodes: true, Conductor: true, Types: []string{"ALL"}, Topics: []string{notify.DefaultSensorTopic}}
}

func (s SensorData) validate() error {
	switch e := (&notify.SensorEncoder{Topics: s.Topics}).Check(); {
	case !s.Send:
		return nil
	case s.Interval <= 0:
		return fmt.Errorf("sensor_data.interval is %s: wanted more than 0", s.Interval)
	case s.Workers < 1:
		return fmt.Errorf("sensor_data.workers is %d: wanted at least 1", s.Workers)
	case s.Wait < 0:
		return fmt.Errorf("sensor_data.wait_timeout is %s: wanted 0 or more", s.Wait)
	default:
		return e
	}
}

// sensors reads the sensors of this conductor's machines in rounds, tells NATS and keeps the newest values for Prometheus.
// Each BMC is asked by one reader at a time, one command at a time, and every command gives way to the power sweep's.
type sensors struct {
	c       *Conductor
	cfg     SensorData
	encoder *notify.SensorEncoder
	out     *notify.Casual // nil = there is no NATS

	rounds, read, failed, sent, unsent, late atomic.Uint64
	spent                                    atomic.Int64 // nanoseconds of all rounds

	mu     sync.Mutex // guards below
	newest map[string]*samples
	begun  map[string]time.Time // when each node was read last
}

// collect starts the rounds when they are wanted.
func (c *Conductor) collect() error {
	if !c.cfg.Sensors.Send || !c.cfg.Sensors.Nodes && !c.cfg.Sensors.Conductor {
		return nil
	}
	s := &sensors{c: c, cfg: c.cfg.Sensors, newest: map[string]*samples{}, begun: map[string]time.Time{}}
	s.encoder = &notify.SensorEncoder{Host: c.cfg.Name, Format: c.cfg.NotificationFormat, Topics: s.cfg.Topics, Types: s.cfg.Types}
	if c.nats != nil || c.cfg.NATSURL != "" {
		link := notify.Link{URL: c.cfg.NATSURL, Name: "ferrite-" + c.cfg.Name + "-sensors"} // no stream: nobody misses an old temperature
		if c.nats != nil {
			link.InProcess = c.nats
		}
		bus, err := notify.Connect(link)
		if err != nil {
			return fmt.Errorf("nats_url: %w", err)
		}
		s.out = notify.NewCasual(bus, c.log)
	}
	c.sensors = s
	c.spawn("sensors", s.run)
	return nil
}

// run makes a round each interval until ctx ends.
func (s *sensors) run(ctx context.Context) error {
	if s.out != nil {
		context.AfterFunc(ctx, s.out.Close) // at once, whoever is sending
		defer s.out.Close()
	}
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if s.cfg.Conductor {
				s.tellFigures()
			}
			if s.cfg.Nodes {
				s.round(ctx)
			}
		}
	}
}

// round reads all machines that are due, those whose last reading is the oldest first, but see line: no subnet keeps the
// others waiting.
func (s *sensors) round(ctx context.Context) {
	began := time.Now()
	defer func() { s.spent.Add(int64(time.Since(began))) }()
	due := s.due()
	limit, cancel := ctx, context.CancelFunc(func() {})
	if s.cfg.Wait > 0 {
		limit, cancel = context.WithTimeout(ctx, s.cfg.Wait)
	}
	defer cancel()
	waiting := newLine(due, s.c.fleet.Sweep().Net)
	var readers sync.WaitGroup
	for range min(s.cfg.Workers, len(due)) {
		readers.Go(func() {
			for limit.Err() == nil {
				n, at := waiting.take()
				if n == nil {
					return
				}
				waiting.done(at, s.one(limit, n))
			}
		})
	}
	readers.Wait()
	s.rounds.Add(1)
	if missed := waiting.left; missed > 0 && ctx.Err() == nil {
		s.late.Add(uint64(missed)) //nolint:gosec // a count
		s.c.log.Warn("a round of sensor readings took too long; who was not reached comes first in the next", "nodes", len(due), "missed", missed, "limit", s.cfg.Wait)
	}
}

// due are this conductor's machines whose sensors are to be read, and forgets the others.
func (s *sensors) due() []*node.Node {
	var out []*node.Node
	wanted := map[string]bool{}
	s.c.store.Nodes(nil, func(n *node.Node) bool {
		if s.wants(n) {
			wanted[n.UUID] = true
			out = append(out, n)
		}
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid := range s.newest {
		if !wanted[uuid] {
			delete(s.newest, uuid)
		}
	}
	for uuid := range s.begun {
		if !wanted[uuid] {
			delete(s.begun, uuid)
		}
	}
	slices.SortStableFunc(out, func(a, b *node.Node) int { return s.begun[a.UUID].Compare(s.begun[b.UUID]) })
	return out
}

// wants reports whether a node's sensors are to be read here: Ironic's filters, and besides nobody asks a BMC that does not
// answer the power sweep.
func (s *sensors) wants(n *node.Node) bool {
	d := s.c.drivers[n.Interfaces["management"]]
	switch {
	case d == nil || d.Sensors == nil, n.Maintenance, n.Fault != "", n.Quarantined != "":
		return false
	case n.ProvisionState != node.Active && !s.cfg.Undeployed:
		return false
	case n.SyncFails > 0 || s.c.fleet.Sweep().Silent(n.UUID): // nothing is recorded of a subnet that fails as a whole
		return false
	case n.Refused != nil: // one more wrong login could lock the account
		return false
	default:
		return s.c.placement.mine(n)
	}
}

// one reads one machine, unless it has fallen silent since the round began. What fails is tried again in the next round; it
// reports whether the machine could be read.
func (s *sensors) one(ctx context.Context, n *node.Node) (ok bool) {
	if s.c.fleet.Sweep().Silent(n.UUID) {
		s.keep(n.UUID, nil)
		return false
	}
	at := time.Now()
	s.mu.Lock()
	s.begun[n.UUID] = at
	s.mu.Unlock()
	reply, err := s.c.fleet.Do(ctx, n.UUID, node.Meta{}, node.GetSensors{})
	all, _ := reply.(node.Sensors)
	sorted := s.encoder.Sorted(all.All)
	switch {
	case err != nil && ctx.Err() != nil: // the round is over
		return false
	case err != nil:
		s.failed.Add(1)
		s.keep(n.UUID, nil)
		s.c.log.Warn("the sensors of a node cannot be read", "node", n.UUID, "error", err)
		return false
	case len(sorted) == 0 && n.Interfaces["management"] != "fake":
		s.failed.Add(1)
		s.keep(n.UUID, nil)
		s.c.log.Warn("a node has no sensor that is wanted", "node", n.UUID, "found", len(all.All), "data_types", s.cfg.Types)
		return true // it answers
	case len(sorted) == 0:
		return true
	}
	s.read.Add(1)
	s.keep(n.UUID, newSamples(n, at, sorted, node.HealthOf(all.All, at)))
	s.send(s.encoder.Encode(n, time.Now(), sorted))
	return true
}

// send hands a message to NATS, if there is one.
func (s *sensors) send(packets []notify.Packet, err error) {
	switch {
	case err != nil:
		s.c.log.Error("sensor data cannot be encoded", "error", err)
	case s.out == nil:
	case s.out.Send(packets):
		s.sent.Add(1)
	default:
		s.unsent.Add(1)
	}
}

func (s *sensors) keep(uuid string, x *samples) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x == nil {
		delete(s.newest, uuid)
		return
	}
	s.newest[uuid] = x
}
