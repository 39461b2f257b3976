// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ferrite/internal/jsontext"
	"ferrite/node"
)

// DefaultSensorTopic is oslo.messaging's default of the topics of unversioned notifications, which sensor data is.
const DefaultSensorTopic = "notifications"

// allTypes is the word of [sensor_data]data_types that keeps everything.
const allTypes = "ALL"

// SensorEncoder turns what a machine's sensors say into Ironic's message hardware.<driver>.metrics (spec notifications.md
// section 5). Its fields are to be left alone once it is used.
type SensorEncoder struct {
	Host   string   // publisher_id None.<Host>, as Ironic has it
	Format string   // Bare ("" too) or Oslo
	Topics []string // none = DefaultSensorTopic
	Types  []string // [sensor_data]data_types: types to send, in any case; none or ALL = every one
}

// Check reports the first setting that makes no sense.
func (e *SensorEncoder) Check() error {
	for _, t := range e.Topics {
		if err := checkTopic(t); err != nil {
			return fmt.Errorf("topics of sensor data: %w", err)
		}
	}
	return nil
}

// Sorted are the fields of sensors by type and id as Ironic has them: the type is its first word, of two sensors with one
// id the later one counts.
func (e *SensorEncoder) Sorted(all []node.Sensor) map[string]map[string]map[string]string {
	out := map[string]map[string]map[string]string{}
	for i := range all {
		s := &all[i]
		kind, _, _ := strings.Cut(s.Type, " ")
		if !e.wants(kind) {
			continue
		}
		fields := make(map[string]string, len(s.Fields))
		for _, f := range s.Fields {
			fields[f.Name] = strings.TrimSpace(f.Value)
		}
		if out[kind] == nil {
			out[kind] = map[string]map[string]string{}
		}
		out[kind][s.ID] = fields
	}
	return out
}

func (e *SensorEncoder) wants(kind string) bool {
	return len(e.Types) == 0 || slices.ContainsFunc(e.Types, func(t string) bool {
		return strings.EqualFold(t, allTypes) || strings.EqualFold(t, kind)
	})
}

// Encode makes one packet a topic; sensors are those of Sorted. Each message has an id of its own: it is in no log.
func (e *SensorEncoder) Encode(n *node.Node, at time.Time, sensors map[string]map[string]map[string]string) ([]Packet, error) {
	return e.message("hardware."+n.Driver+".metrics", at, n.UUID, map[string]any{
		"node_uuid": n.UUID, "node_name": nullable(n.Name), "instance_uuid": nullable(n.InstanceUUID), "payload": sensors,
	})
}

// Figure is something that a conductor tells of itself, under the name that Ironic has for it, in the form of Ironic's own
// collector. Its JSON is one of timer, gauge and counter.
type Figure struct {
	Count *uint64  `json:"count,omitempty"` // of timers and counters
	Sum   *float64 `json:"sum,omitempty"`   // of timers, in milliseconds
	Value *float64 `json:"value,omitempty"` // of gauges
	Type  string   `json:"type"`
}

// Timer is how often something was done, and how long all of it took.
func Timer(count uint64, sum time.Duration) Figure {
	ms := float64(sum) / float64(time.Millisecond)
	return Figure{Count: &count, Sum: &ms, Type: "timer"}
}

// Gauge is how much there is of something now.
func Gauge(v float64) Figure { return Figure{Value: &v, Type: "gauge"} }

// EncodeFigures makes one packet a topic of ironic.metrics: what a conductor tells of itself.
func (e *SensorEncoder) EncodeFigures(at time.Time, figures map[string]Figure) ([]Packet, error) {
	return e.message("ironic.metrics", at, "", map[string]any{"hostname": e.Host, "payload": figures})
}

// message wraps a payload as Ironic's plain notifier does, with an id and a time inside and outside.
func (e *SensorEncoder) message(event string, at time.Time, about string, payload map[string]any) ([]Packet, error) {
	const inner = "2006-01-02T15:04:05.000000"
	payload["message_id"], payload["timestamp"], payload["event_type"] = uuid.NewString(), at.UTC().Format(inner), event+".update"
	id := uuid.NewString()
	body, err := json.Marshal(map[string]any{
		"message_id": id, "publisher_id": "None." + e.Host, "event_type": event, "priority": "INFO",
		"timestamp": at.UTC().Format(timestampLayout), "payload": payload,
	})
	if err != nil {
		return nil, fmt.Errorf("notify: %s of node %q: %w", event, about, err)
	}
	if e.Format == Oslo {
		b := append([]byte(nil), osloHead...)
		body = append(jsontext.AppendEscaped(b, body), osloTail...)
	}
	topics := e.Topics
	if len(topics) == 0 {
		topics = []string{DefaultSensorTopic}
	}
	var out []Packet
	for _, t := range topics {
		out = append(out, Packet{Subject: t + ".info." + event, ID: id, Node: about, Body: body})
	}
	return out, nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// casualPause is how long nothing is sent after a failure: what is in no log is not worth waiting for.
const casualPause = 15 * time.Second

// Casual sends packets that are in no log: at most once, and not at all for a while after NATS did not take one. It may be
// used from any goroutine.
type Casual struct {
	log  *slog.Logger
	life context.Context // of the connection: it outlives the caller who happened to make it
	end  context.CancelFunc

	mu    sync.Mutex // guards below
	bus   Bus
	until time.Time // nothing is sent before
}

// NewCasual sends over a bus that nobody else uses.
func NewCasual(bus Bus, log *slog.Logger) *Casual {
	c := &Casual{bus: bus, log: log}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Send reports whether NATS has taken the packets, which are of one message. A connection that has broken meanwhile is
// made anew, once.
func (c *Casual) Send(packets []Packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) || c.life.Err() != nil {
		return false
	}
	var err error
	for range 2 {
		if err = c.send(packets); err == nil {
			return true
		}
		c.bus.Reset()
		if c.life.Err() != nil {
			return false
		}
		if errors.Is(err, ErrRefused) { // this message, not NATS
			c.log.Warn("sensor data was refused by NATS", "node", packets[0].Node, "bytes", len(packets[0].Body), "error", err)
			return false
		}
	}
	c.until = time.Now().Add(casualPause)
	c.log.Warn("sensor data is not sent for a while: NATS does not take it", "pause", casualPause.String(), "error", err)
	return false
}

func (c *Casual) send(packets []Packet) error {
	for _, p := range packets {
		if err := c.bus.Publish(c.life, p); err != nil {
			return err
		}
	}
	return c.bus.Confirm(c.life)
}

// Close ends what is being sent and lets go of the connection.
func (c *Casual) Close() {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bus.Reset()
}
