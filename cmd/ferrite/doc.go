// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Command ferrite is a bare-metal conductor that speaks OpenStack Ironic's API, with its demo, its simulated BMCs and
// its small tools, in one binary.
//
// # Usage
//
//	ferrite serve --data-dir /var/lib/ferrite     # a conductor
//	ferrite demo                                  # a conductor with 200 simulated BMCs, to play with
//	ferrite sim --bmcs 1000                       # simulated BMCs alone
//	ferrite notifications tail                    # what the conductor tells the world
//	ferrite config check --config ferrite.yaml
//
// This package holds flags, subcommands and signals only; the work is done by packages conductor, sim, client and
// notify.
//
// # Concurrency
//
// One signal asks the running command to end in order, a second one ends the process at once.
//
// # Failure
//
// Errors are one line on standard error: what was wanted, what was found, what to do. The exit code is 0 when the
// command did what it should, 1 when it failed, 2 when the command line or the configuration is wrong, and 130 after a
// second signal.
package main
