// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"

	"ferrite/actors"
	"ferrite/notify"
	"ferrite/notify/nova"
)

// callback starts the worker of Nova's callback, or forgets how far it was when there is none any more (N3). A callback
// that is switched on later begins with what happens from then on.
func (c *Conductor) callback(ctx context.Context) error {
	if !c.cfg.tellsNova() {
		return again(ctx, func() error { return leave(ctx, c.store, novaCursor) })
	}
	cfg := c.cfg.Nova
	if cfg.Logger == nil {
		cfg.Logger = c.log
	}
	caller, err := nova.New(cfg)
	if err != nil {
		return err
	}
	if err := again(ctx, func() error { return enter(ctx, c.store, novaCursor, c.store.Applied()) }); err != nil {
		return err
	}
	c.nova = caller
	worker := notify.New(notify.Config{Feed: feed{c.store, novaCursor}, Bus: caller, Takes: nova.Takes, Logger: c.log, Cluster: c.identity})
	c.spawn("nova", c.leading(worker.Run))
	return nil
}

// tellsNova reports whether Nova shall hear of power changes, and it is said where it is.
func (c Config) tellsNova() bool { return c.NovaPower && c.Nova.Configured() }

// encoder writes the notifications of a change, and Nova's record.
func (c *Conductor) encoder() actors.Encoder {
	e := &notify.Encoder{Host: c.cfg.Name, Level: c.cfg.NotificationLevel, Format: c.cfg.NotificationFormat, Topics: c.cfg.Topics}
	c.telling.inner.Store(e)
	if c.nova == nil {
		return &c.telling
	}
	return &nova.Encoder{Inner: &c.telling, Logger: c.log}
}

// subnetTopic is where failing subnets are told, "" = nowhere: the first topic, so that a stream takes them.
func (c Config) subnetTopic() string {
	switch {
	case c.NotificationLevel == "" || c.NotificationLevel == "critical":
		return ""
	case len(c.Topics) == 0:
		return notify.DefaultTopic
	default:
		return c.Topics[0]
	}
}

// checkMessaging names the setting of NATS, the outbox or Nova that cannot be.
func (c Config) checkMessaging() error {
	switch {
	case c.NATSJetStream && c.NATSURL == "":
		return fmt.Errorf("nats_jetstream is set, but nats_url is not: the embedded server stores nothing, wanted a NATS with JetStream")
	case c.OutboxMaxAge < 0 || c.OutboxMaxBytes < 0 || c.OutboxKeep < 0:
		return fmt.Errorf("the bounds of the outbox are %s, %d bytes and %s: wanted nothing below 0", c.OutboxMaxAge, c.OutboxMaxBytes, c.OutboxKeep)
	case c.NovaPower:
		return c.Nova.Validate()
	default:
		return nil
	}
}

// novaStats are the callback's figures; zero without one.
func (c *Conductor) novaStats() nova.Stats {
	if c.nova == nil {
		return nova.Stats{}
	}
	return c.nova.Stats()
}

// busStats are the figures of NATS's publisher; zero without one.
func (c *Conductor) busStats() notify.Stats {
	if c.publisher == nil {
		return notify.Stats{}
	}
	return c.publisher.Stats()
}
