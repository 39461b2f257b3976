// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package notify tells the world what happened: it turns notices into Ironic's versioned notifications and hands them
// from the log to NATS, in order, at least once.
//
// # Usage
//
// An Encoder makes the bytes while the change is being written, so that they enter the log in the same entry (N1):
//
//	enc := &notify.Encoder{Host: "c1", Level: "info"}
//	msgs, err := enc.Encode(notice)                  // nil when notification_level says so
//
// A Publisher reads them back, gives each its message_id (Finish, N2) and publishes:
//
//	bus, err := notify.Connect(notify.Link{URL: "nats://127.0.0.1:4222"})
//	err = notify.New(notify.Config{Feed: feed, Bus: bus, Logger: log}).Run(ctx)
//
// Subjects are <topic>.<priority>.<event_type>, so a consumer chooses by wildcard:
//
//	nats sub 'ironic_versioned_notifications.>'                         // all
//	nats sub 'ironic_versioned_notifications.error.>'                   // failures
//	nats sub 'ironic_versioned_notifications.*.baremetal.node.power_set.*'
//
// Headers: Nats-Msg-Id is the message_id; Ferrite-Rev the place in the log, "revision.index"; Ironic-Node the node's
// UUID. A consumer that remembers the greatest Ferrite-Rev drops what comes twice. With Link.JetStream the publisher does
// it for the stream, by the place of the stream's last message.
//
// An outbox may hold events of other consumers (package nova): their subjects begin with $, and a Publisher passes them by
// unless Config.Takes says that they are its own.
//
// Sensor data is in no log and goes another way: a SensorEncoder makes the message and a Casual sends it, once at most.
//
// A payload is a table of fields (payload.go), an event family a row (family.go).
//
// # Concurrency
//
// An Encoder may be used from any goroutine. A Publisher is one goroutine: Run; Stats may be read from anywhere. Only
// the leader of the log should run one.
//
// # Failure
//
// Nothing here can fail or slow down an operation: a notice that cannot be encoded is an error to be logged, and a NATS
// that is dead or slow holds up the publisher alone, which tries again with growing pauses, for ever. Events wait in
// the log. After a crash or a change of leader some come twice, with the same message_id; none is skipped, but for one
// that the server refuses for good (too big), which is logged and counted.
package notify
