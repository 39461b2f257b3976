// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"net"

	"ferrite/cluster"
	"ferrite/notify/embedded"
)

// natsConfig is that of the server inside; one of several conductors takes routes from the others.
func (c *Conductor) natsConfig() (embedded.Config, error) {
	cfg := embedded.Config{Listen: c.cfg.NATSListen, Name: c.cfg.Name, Logger: c.log}
	if file := c.cfg.NATSHtpasswdFile; file != "" {
		var err error
		if cfg.Users, err = embedded.ReadUsers(file); err != nil {
			return cfg, err
		}
	}
	x := c.cfg.Cluster
	if x == nil {
		return cfg, nil
	}
	secrets := routeSecrets(c.ring.get())
	cfg.Secret, cfg.Secrets, cfg.TLS, cfg.Cluster = secrets[0], secrets[1:], x.TLS, x.NATS
	if cfg.Cluster == "" {
		host, _, _ := net.SplitHostPort(x.Raft) // the ports that carry TLS share an address
		cfg.Cluster = net.JoinHostPort(host, "0")
	}
	return cfg, nil
}

// joinBus tells the others where to route to.
func (c *Conductor) joinBus() error {
	if c.membership == nil {
		return nil
	}
	at := c.reach(c.nats.ClusterAddr())
	if err := c.membership.Update(func(m *cluster.Member) { m.NATS = at }); err != nil {
		return err
	}
	c.routes(c.membership.View())
	return nil
}

// routes joins the NATS servers inside the conductors to one bus, so that a subscriber at any of them sees everything.
func (c *Conductor) routes(v *cluster.View) {
	if c.nats == nil {
		return
	}
	var to []string
	for _, m := range v.Members {
		if m.Name == c.cfg.Name || m.NATS == "" {
			continue
		}
		at := m.NATS
		if cable := c.cfg.Cluster.Cable; cable != nil { // the server dials by itself
			var err error
			if at, err = cable.Relay(at); err != nil {
				c.log.Warn("no way to the NATS server of a conductor", "name", m.Name, "error", err)
				continue
			}
		}
		to = append(to, at)
	}
	if err := c.nats.Routes(to); err != nil {
		c.log.Warn("the NATS servers of the conductors are not joined: a subscriber here misses what others send", "error", err)
	}
}
