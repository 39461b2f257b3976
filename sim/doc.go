// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package sim is BMCs by the ten thousand on loopback that answer real IPMI v2.0 from one UDP socket.
//
// # Usage
//
//	cfg := sim.Defaults()       // 200 BMCs at 127.1.0.1 and up, UDP port 6230, power off
//	cfg.Control = "127.0.0.1:6231"
//	f, err := sim.New(cfg)      // binds
//	go f.Run(ctx)               // answers until ctx ends
//	f.BMC(3).SetPower(true)     // behind the conductor's back
//
// BMC number i answers at AddressBase + i. It speaks the RMCP presence ping, the questions that need no session, RMCP+
// with cipher suites 3 and 17, the chassis, session and boot option commands, and those of sensors and the event log
// (SetSensors, Change, LogEvent); anything else is answered 0xC1. The codec is written from the IPMI specification alone
// and shares nothing with bmc/ipmi, so that each is a referee of the other; ipmitool and FreeIPMI are the referees of
// both (conformance_test.go).
//
// What may go wrong is in Config and in the handles: latency, jitter, loss, dead BMCs, refused power, a pulled plug. All
// chance comes from Config.Seed. The control API offers the same over HTTP, on loopback only: GET / (summary),
// GET /bmcs/{i} (state and the last 64 commands; Get Chassis Status is only counted), PUT /bmcs/{i} with any of
// {"power":"on|off","dead":bool,"latency":"3s","refuse_power":bool,"lose_replies":bool,"password":"new",
// "event":"13 bytes in hex","fault":"slow"}. docs/BMCS.md tells what each does.
//
// # What a client can rely on
//
// A handshake step that is sent again gets the same answer. A chassis control or boot option that is sent again (same
// rqSeq and content within 5 s) is answered again but done once, and counted in Stats.Repeats. A BMC has Config.Sessions
// slots, keeps a silent session for 60 s and an unfinished handshake for 5 s. Boot flags live for 60 s unless parameter 3
// keeps them; the next boot (on, cycle, reset) uses up those that are for one time. A dead BMC forgets its sessions.
//
// # Concurrency
//
// One goroutine answers all packets and a second one sends delayed replies; handles may be used from anywhere meanwhile.
// A status costs about 5 us of CPU and no allocation, a live session about 1.4 KB.
//
// # Failure
//
// A taken port is named. Datagrams for addresses outside 127/8 are dropped: the simulator can never be somebody's BMC.
// Packets that do not prove their origin are dropped and counted, as a BMC does.
package sim
