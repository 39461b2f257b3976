// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package client is the Bare Metal API as Go calls: what the demo, the benches and the tests say to a conductor.
//
// # Usage
//
//	c := client.New("http://127.0.0.1:6385")
//	n, err := c.CreateNode(ctx, client.NewNode{Driver: "ipmi", Name: "r01n01", DriverInfo: info})
//	err = c.SetProvision(ctx, n.UUID, "manage")
//	n, err = c.WaitProvision(ctx, n.UUID, node.Manageable)
//	for n, err := range c.Nodes(ctx, client.Query{Detail: true}) { ... } // page by page
//
// Every request names one microversion, DefaultVersion unless WithVersion says otherwise. It works against Ironic too.
//
// # Concurrency
//
// A Client may be used from any number of goroutines; it keeps as many idle connections as WithConnections allows.
//
// # Failure
//
// An answer of 400 and above is an *Error with the status, the text of the service and the request id, whatever of the
// API's four forms of error it came in. Requests that found the node locked (409) or the service short of workers (503)
// are tried again only when WithRetry asks for it. The Wait calls end with an error that says what was wanted, what was
// found and the node's last_error, as soon as it is clear that the wanted state will not come.
package client
