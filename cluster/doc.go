// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster knows which conductors are alive, and which of them should own what.
//
// Members find each other by gossip. What they say of themselves becomes an immutable View, and the owner of a key is
// worked out from a View alone, by rendezvous hashing on stable names: every member that sees the same View names the same
// owner, and a member that comes or goes moves its own share only. None of this makes anything safe: two members may see
// different Views. Safety is the log's (S1); a View says where to begin.
//
// # Usage
//
//	m, err := cluster.Join(cluster.Config{Member: me, Listen: "10.0.0.1:7946", Peers: []string{"10.0.0.2:7946"}})
//	owner, ok := m.View().Owner(key, group)
//	<-m.Changes()                    // a newer View is there
//
// # Concurrency
//
// A View never changes and may be read anywhere. Membership may be used from any goroutine.
//
// # Failure
//
// Join fails when its port is taken or a setting cannot be. Peers that do not answer are tried again for ever: a cluster
// that was cut in two heals. Members with another key are not heard; this is logged.
package cluster
