// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package httpapi answers OpenStack Ironic's Bare Metal API v1 over HTTP: it reads from the local replica, hands every
// change to the node's owner, and words the outcome as Ironic does.
//
// # Usage
//
//	s := httpapi.New(httpapi.Config{Commands: fleet, Reader: store, Hardware: drivers, Members: view})
//	go s.Serve(listener)
//	...
//	err := s.Shutdown(ctx)
//
// What the API can be asked for is one table (routes.go): method, path, the microversion since which it exists, what
// older requests are told, and the handler. What a node or port looks like is another (package wire).
//
// # Concurrency
//
// A Server serves any number of connections; a handler runs in its connection's goroutine. Nothing that a handler reads
// is written to: stored values are immutable.
//
// # Failure
//
// Errors from below are *node.Error; one table (errors.go) turns their Kind into a status. A read that cannot be
// confirmed within 2 s is 503 with Retry-After (R4). A panic is 500 and a log line; the process lives.
package httpapi
