// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package ipmi talks IPMI v2.0 to tens of thousands of BMCs over a few UDP sockets.
//
// # Usage
//
//	e, err := ipmi.New(ipmi.Defaults())
//	d := e.Driver()                         // bmc.Driver of hardware type "ipmi"
//	h, err := d.Poller.Prepare(n)           // a place for the power sweep
//	h.Poll(sink)                            // 0 allocations; the sink gets the answer
//	state, err := d.Power.PowerState(ctx, n)
//	all, err := d.Sensors.Sensors(ctx, n)   // one command a sensor, once its records are known
//	defer e.Close(ctx)                      // ends all sessions with the BMCs
//
// # Concurrency
//
// All methods may be called from anywhere. Inside, a shard is one socket and one goroutine that owns its BMC records:
// sessions, timers (a timing wheel) and queues need no lock. There is no goroutine, descriptor or runtime timer per
// BMC. A BMC has one session per login and one command outstanding; mutating commands go before other calls, those
// before polls, and all polls that wait share the next reading, which is always sent after they asked. Commands for
// sensors and the event log give way to all of these, one by one. Between two mutating commands to one BMC lies
// MinCommandInterval. Sinks run in the shard's goroutine.
//
// Readings take places in token buckets (Rate, SubnetRate) and wait for them; calls count and do not wait. Logins are rationed
// (Handshakes), those that somebody waits for first. Of several engines each keeps to its part of the three (Share). A BMC that is
// read less often than its sessions live keeps none. The end of a session is a command like others: the next one waits for
// its answer (farewell.go). What a vendor's BMCs do unlike the standard is in quirks.txt.
//
// # Failure
//
// A BMC that gave no answer is asked outside of a session before the next reading (probe.go). A process that keeps dying
// opens sessions for readings later (starts.go), so that those it left behind do not fill the BMCs' tables.
// Commands that may be repeated are sent again after 1, 2 and 4 s (+-20 %), then once more in a new session, and those that
// somebody waits for in further ones until CommandRetryTimeout, unless they were sent and change something (anew.go); chassis
// reset, NMI, BMC reset and raw requests are sent once, and a lost answer is *bmc.Error with Unknown (SAFETY S12). A command that ends without an
// answer takes its session with it. Every packet of a mutating
// command, retransmissions included, needs a live permit (S10). A refused login stops all traffic to the BMC for
// AuthBackOff, a second one stops readings for AuthRest; a BMC that is asked under several logins has one session and one
// command at a time for all of them (kin.go); a BMC without a free session slot gets SlotBackOff. Received packets are believed only after source,
// session id, AuthCode, sequence, padding, checksums and the outstanding command have been checked; what is dropped is
// counted by reason (Stats.Drops) and told in the error of the BMC that it came from, which a BMC that talks nonsense
// gets as a silent one does. What BMCs tell of their sensors and events is as little believed: lengths are checked, and
// how much is asked and kept of one BMC is bounded. After a panic the BMC that it happened on, and nobody else, is left alone for as long.
package ipmi
