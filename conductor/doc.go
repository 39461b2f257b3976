// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package conductor wires store, actors, drivers, notifications and the HTTP front into one process; it is the only
// package that knows them all.
//
// # Usage
//
//	c, err := conductor.Start(ctx, cfg)
//	fmt.Println(c.APIURL(), c.NATSURL())
//	err = c.Shutdown(ctx)      // as on SIGTERM: readyz red, requests end, operations reach a safe point, sessions close
//
// # Concurrency
//
// Start returns when the API answers. Everything that it starts has ended when Shutdown returns. Several conductors may
// run in one process (tests, benches), each with a folder of its own.
//
// # Failure
//
// Start names what it could not have (a taken port, a folder in use, a wrong key) and leaves nothing running. A failure
// later that the process cannot survive (an fsync error) ends it; Failed reports anything else that stopped by itself.
package conductor
