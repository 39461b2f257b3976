// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package nova tells Nova when the power of a machine with an instance has changed, as Ironic's "power-update" callback
// does (spec power.md section 9).
//
// # Usage
//
// An Encoder stands before the one of the notifications. It adds a record to the entry of the change itself (N1), in the
// same outbox under a subject that NATS never sees:
//
//	enc := &nova.Encoder{Inner: notifications, Logger: log}
//
// A Caller reads the records back, at its own pace and with a cursor of its own (N3), through notify's Publisher:
//
//	caller, err := nova.New(nova.Config{Endpoint: "http://nova.example:8774/v2.1", Auth: nova.None})
//	err = notify.New(notify.Config{Feed: feed, Bus: caller, Takes: nova.Takes, Logger: log}).Run(ctx)
//
// What waits is sent in one request, the newest state of each server only: a server that was switched twice while Nova
// was away is told of once. A request of one event bears the id of the request that caused it, as Ironic's global request
// id; one of several bears an id of its own.
//
// # Concurrency
//
// An Encoder may be used from any goroutine. A Caller belongs to the goroutine of its Publisher; Stats may be read from
// anywhere.
//
// # Failure
//
// Nothing here can fail or slow down an operation. A request is tried three times; what Nova then still has not heard is
// logged, counted and dropped, and the next is sent. What Nova refuses (an instance that it does not know) is not tried
// again. After a crash a change may be told twice, which changes nothing for Nova.
package nova
