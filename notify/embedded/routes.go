// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

// clusterName is what NATS calls servers that route to one another.
const clusterName = "ferrite"

// routed makes the options of a server that takes routes.
func routed(o *server.Options, cfg Config) error {
	host, port, err := address(cfg.Cluster)
	if err != nil {
		return err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	o.Cluster = server.ClusterOpts{Name: clusterName, Host: host, Port: port, Username: clusterName, Password: cfg.Secret, NoAdvertise: true, ConnectRetries: 1000}
	if cfg.TLS != nil {
		o.Cluster.TLSConfig, o.Cluster.TLSTimeout = cfg.TLS, 2
	}
	return nil
}

// ClusterAddr is where other servers route to, "" = nowhere.
func (s *Server) ClusterAddr() string {
	a := s.nats.ClusterAddr()
	if a == nil {
		return ""
	}
	return a.String()
}

// Routes makes these servers (host:port) the ones that this one routes to; routes to others end by themselves.
func (s *Server) Routes(to []string) error {
	if s.user == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(to)
	s.to = slices.Clone(to)
	return s.route()
}

// SetSecrets makes secret the one that this server signs in with at others; it and the further ones are taken from them. Routes
// are made anew when the first has changed: for a moment, what is published at one server does not come to the others.
func (s *Server) SetSecrets(secret string, also ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.auth == nil || !s.auth.set(secret, also...) {
		return nil
	}
	return s.route()
}

// route makes the routes to s.to.
func (s *Server) route() error {
	to := s.to
	next := s.opts.Clone()
	next.Routes = nil
	for _, at := range to {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return fmt.Errorf("a route to %q: %w", at, err)
		}
		next.Routes = append(next.Routes, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort(host, port), User: url.UserPassword(s.user, s.auth.first())})
	}
	if err := s.nats.ReloadOptions(next); err != nil { // it keeps the ports that a random choice has become
		return fmt.Errorf("the routes to %v: %w", to, err)
	}
	return nil
}
