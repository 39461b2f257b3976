// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/persistence"
)

// Ports of a conductor's address that are not said otherwise.
const (
	portRaft   = "7947"
	portRemote = "7948"
)

// clusterSettings is what makes a conductor one of several.
func clusterSettings(s *config.Config, c *conductor.Config) error {
	gossip := s.String("gossip_listen")
	if gossip == "" {
		for _, key := range []string{"raft_listen", "remote_listen", "advertise_address", "tls_ca", "tls_cert", "tls_key", "nats_routes_listen"} {
			if s.String(key) != "" {
				return fmt.Errorf("%s is given, but gossip_listen is not: wanted the address of the gossip, which makes this conductor one of several", key)
			}
		}
		if len(s.Strings("join")) > 0 || s.Int("bootstrap_expect") > 1 {
			return errors.New("join or bootstrap_expect is given, but gossip_listen is not: wanted the address of the gossip, which makes this conductor one of several")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(gossip)
	if err != nil {
		return fmt.Errorf("gossip_listen is %q: wanted ADDRESS:PORT, like 10.0.0.1:7946", gossip)
	}
	x := &conductor.Cluster{
		Gossip: gossip, Raft: s.String("raft_listen"), Remote: s.String("remote_listen"), NATS: s.String("nats_routes_listen"),
		Advertise: s.String("advertise_address"), Join: s.Strings("join"), Expect: s.Int("bootstrap_expect"), Profile: s.String("gossip_profile"),
	}
	if x.Raft == "" {
		x.Raft = net.JoinHostPort(host, portRaft)
	}
	if x.Remote == "" {
		x.Remote = net.JoinHostPort(host, portRemote)
	}
	if x.TLS, err = mutualTLS(s.String("tls_ca"), s.String("tls_cert"), s.String("tls_key")); err != nil {
		return err
	}
	if s.String("cluster_key_file") == "" && x.Expect+len(x.Join) > 1 {
		return errors.New("cluster_key_file is not given: wanted one file for all conductors of the cluster, \"ferrite cluster key\" makes it")
	}
	if x.Cable, err = cable(host); err != nil {
		return err
	}
	c.Cluster = x
	return nil
}

// mutualTLS is for the ports between conductors: both sides show certificates of one CA. nil = none of the three is given.
func mutualTLS(ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" && key == "" {
		return nil, nil //nolint:nilnil // nothing is asked for
	}
	if ca == "" || cert == "" || key == "" {
		return nil, errors.New("wanted all of tls_ca, tls_cert and tls_key, or none")
	}
	text, err := os.ReadFile(ca) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("tls_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls_ca %s: wanted certificates in PEM, found none", ca)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls_cert %s and tls_key %s: %w", cert, key, err)
	}
	both := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	if err := persistence.CheckTLS(both, ""); err != nil {
		return nil, fmt.Errorf("tls_cert %s, tls_ca %s: %w", cert, ca, err)
	}
	return both, nil
}
