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
// # Limits
//
// No client can make the API hold more than these. Config.Limits has the first eight, which are the options api.max_* and
// api.*_timeout of a conductor; Server.Update changes them while it runs, but for two timeouts. A client cannot know the
// others, so they are fixed. Refusals have Ironic's error form, are counted by reason (Stats), and each 503 has Retry-After.
//
//	Limits.Connections   8192    open at once, or half of the process's descriptors where that is less; the one idle for
//	                             longest makes room, or the new one gets 503
//	Limits.PerAddress    2048    open at once from one IPv4 address or IPv6 /64; then 503
//	Limits.HeldBytes     256 MB  bodies, what they parse to, and answers; then 503, before the body is read. One address
//	                             may hold half. The first 16 KB of each are free, so that small requests go on
//	Limits.Working       64      requests at once that parse or read the store, 48 of them bulk; others wait up to
//	                             ReadWait, then 503. Requests that wait for a node's owner do not count: the owner bounds those
//	Limits.HeaderTimeout 10 s    from the first byte to the whole header, however it is dribbled; TLS handshake; then 408
//	Limits.BodyTimeout   60 s    from the header to the whole body; then 408
//	Limits.WriteTimeout  60 s    for an answer to be taken; then the connection is reset
//	Limits.IdleTimeout   120 s   between two requests; then it is closed
//	header               16 KB   with the request line; 431
//	body                 1 MB    64 MB for states/provision of who may sign in; 413
//	JSON                 25 levels, 65536 values, numbers within float64, UTF-8 without byte order mark; 400
//	patch                500 operations, and no result deeper than 25 levels; 400
//	Content-Encoding     none; 415
//	framing              one length: both Content-Length and Transfer-Encoding, or one of them twice, are 400; HTTP/1
//	                     alone, others 505
//
// A member that is twice in a JSON object has its last value, as in Ironic. A TLS client beyond the number of connections
// is closed without an answer. There are about as many goroutines as connections.
//
// # Who goes first
//
// Each route has a rank (routes.go): a command to one machine goes before what reads or changes one record, and that
// before bulk, which makes records or reads whole collections. The rank decides who still finds a place where many wait
// (here for Limits.Working, at the nodes' owners for what those bound) and what a 503 says in Retry-After. That is the
// rank's seconds, once more for each 1024 requests that wait where it was refused, and at most 60:
//
//	command   1    states, maintenance, boot device, NMI, vendor methods, identify, release, drain
//	record    2    one node, port or chassis, its traits, history, sensors ...; what was refused unread
//	bulk      5    POST and lists of nodes, ports and chassis; notifications, backup, summary
//
// A 429 says how long wrong passwords have shut the address out.
//
// # Failure
//
// Errors from below are *node.Error; one table (errors.go) turns their Kind into a status. A read that cannot be
// confirmed within 2 s is 503 with Retry-After (R4). A panic is 500 and a log line; the process lives.
package httpapi
