// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"strings"
	"sync"

	"ferrite/internal/jsontext"
	"ferrite/node"
)

// DefaultTopic is Ironic's default of versioned_notifications_topics.
const DefaultTopic = "ironic_versioned_notifications"

// Formats of a body (notification_format).
const (
	Bare = "bare" // the envelope itself; oslo.messaging's driver "messaging"
	Oslo = "oslo" // the envelope as a string in {"oslo.version","oslo.message"}; driver "messagingv2"
)

// Message is one encoded notification for one topic, ready for the outbox (N1). Body is complete but for its
// message_id, which Finish adds (N2). Messages of several topics share Body: never write to it.
type Message struct {
	Subject string // NATS subject, <topic>.<priority>.<event_type>
	Node    string // UUID of the node that it is about, "" = none
	Body    []byte
}

// Encoder turns notices into messages. Set the fields before the first use and leave them alone afterwards; then all
// methods may be called from any goroutine.
type Encoder struct {
	Host   string   // name of this conductor, as in publisher_id ironic-conductor.<Host>
	Level  string   // notification_level: "" or unset = send nothing, debug, info, warning, error, critical
	Format string   // Bare ("" too) or Oslo
	Topics []string // versioned_notifications_topics; none = DefaultTopic

	once sync.Once
	plan plan
}

// plan is what follows from an Encoder's fields, worked out once.
type plan struct {
	err       error
	threshold int
	oslo      bool
	api       string // publisher_id of the API, as JSON
	conductor string // publisher_id of the conductor, as JSON
	subjects  map[eventKey][]string
}

// levels orders notification_level; a message is sent when its level is at least the option's.
var levels = map[string]int{
	"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4,
	"": never, "unset": never,
}

const never = 5 // above every level

// priority is the word of a level on the wire and the level's rank.
type priority struct {
	wire  string // upper case, of the envelope
	lower string // of the subject
	rank  int
}

// All of Ironic's events are info, but for status error (spec notifications.md section 1).
var (
	prioInfo  = priority{"INFO", "info", levels["info"]}
	prioError = priority{"ERROR", "error", levels["error"]}
)

func priorityOf(s node.Status) priority {
	if s == node.Failure {
		return prioError
	}
	return prioInfo
}

// Check reports the first setting that makes no sense, naming it as in the configuration file.
func (e *Encoder) Check() error {
	return e.prepared().err
}

// Enabled reports whether anything would ever be sent.
func (e *Encoder) Enabled() bool {
	p := e.prepared()
	return p.err == nil && p.threshold < never
}

// Encode returns one message for each topic, or nil when notification_level keeps the notice back. It fails for a
// notice that no family of Ironic's knows, or without its object.
func (e *Encoder) Encode(n node.Notice) ([]Message, error) {
	p := e.prepared()
	if p.err != nil {
		return nil, p.err
	}
	prio := priorityOf(n.Status)
	if prio.rank < p.threshold {
		return nil, nil
	}
	key := eventKey{n.Object, n.Action, n.Status}
	ev, ok := events[key]
	if !ok {
		return nil, fmt.Errorf("notify: no notification baremetal.%s.%s.%s in Ironic: wanted one of the families of package notify", n.Object, n.Action, n.Status)
	}
	w := newWriter(n)
	defer w.free()
	about, err := w.bind(ev.payload)
	if err != nil {
		return nil, fmt.Errorf("notify: %s: %w", ev.eventType, err)
	}
	publisher := p.conductor
	if n.API {
		publisher = p.api
	}
	w.envelope(publisher, ev, prio)
	body := w.copied(p.oslo)
	subjects := p.subjects[key]
	out := make([]Message, len(subjects))
	for i, s := range subjects {
		out[i] = Message{Subject: s, Node: about, Body: body}
	}
	return out, nil
}

func (e *Encoder) prepared() *plan {
	e.once.Do(func() { e.plan = e.prepare() })
	return &e.plan
}

func (e *Encoder) prepare() plan {
	var p plan
	rank, ok := levels[e.Level]
	if !ok {
		p.err = fmt.Errorf("notification_level: wanted debug, info, warning, error, critical or nothing, found %q", e.Level)
		return p
	}
	p.threshold = rank
	switch e.Format {
	case "", Bare:
	case Oslo:
		p.oslo = true
	default:
		p.err = fmt.Errorf("notification_format: wanted %s or %s, found %q", Bare, Oslo, e.Format)
		return p
	}
	topics := e.Topics
	if len(topics) == 0 {
		topics = []string{DefaultTopic}
	}
	for _, t := range topics {
		if err := checkTopic(t); err != nil {
			p.err = err
			return p
		}
	}
	p.api = string(jsontext.Append(nil, "ironic-api."+e.Host))
	p.conductor = string(jsontext.Append(nil, "ironic-conductor."+e.Host))
	p.subjects = make(map[eventKey][]string, len(events))
	for key, ev := range events {
		for _, t := range topics {
			p.subjects[key] = append(p.subjects[key], t+"."+priorityOf(key.status).lower+"."+ev.eventType)
		}
	}
	return p
}

// checkTopic says whether a topic can begin a NATS subject: non-empty tokens between dots, without white space or
// wildcards, and not in the server's own space ($SYS, $JS).
func checkTopic(t string) error {
	if strings.HasPrefix(t, "$") {
		return fmt.Errorf("versioned_notifications_topics: %q begins with $, which NATS keeps for itself", t)
	}
	for _, token := range strings.Split(t, ".") {
		if token == "" {
			return fmt.Errorf("versioned_notifications_topics: %q has an empty part: wanted words joined by single dots", t)
		}
		for _, r := range token {
			if r <= ' ' || r == '*' || r == '>' || r == 0x7f {
				return fmt.Errorf("versioned_notifications_topics: %q holds %q, which a NATS subject may not", t, r)
			}
		}
	}
	return nil
}
