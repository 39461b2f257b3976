// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package embedded is the NATS server inside ferrite, so that notifications work without anything else installed.
//
// # Usage
//
//	s, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:4222", Name: "c1", Logger: log})
//	defer s.Shutdown()
//	fmt.Println(s.ClientURL())                          // nats://127.0.0.1:4222, for consumers
//	bus, err := notify.Connect(notify.Link{InProcess: s}) // for ourselves
//
// It is NATS core only: nothing is stored, whoever does not listen misses the message. The outbox in ferrite's log is
// the memory; a consumer that needs its own uses an external NATS with JetStream.
//
// # Concurrency
//
// All methods may be called from any goroutine. Shutdown waits for the server's goroutines.
//
// # Failure
//
// Start names the address that it could not have; errors.Is(err, syscall.EADDRINUSE) tells a taken port. No signal is
// caught and the process is never ended from here.
package embedded
