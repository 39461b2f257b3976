// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package sim is BMCs by the ten thousand on loopback that answer real IPMI v2.0 from one UDP socket.
//
// # Usage
//
//	f, err := sim.New(sim.Config{BMCs: 200, Listen: "0.0.0.0:6230", AddressBase: netip.MustParseAddr("127.1.0.1")})
//	go f.Run(ctx)
//	f.BMC(3).SetPower(true)     // behind the conductor's back
//
// BMC number i answers at AddressBase + i. It speaks RMCP ping, RMCP+ with cipher suites 3 and 17, and the chassis,
// session and boot option commands. The codec is written from the IPMI specification alone and shares nothing with
// bmc/ipmi, so that each is a referee of the other.
//
// # Concurrency
//
// One goroutine answers all packets; handles may be used from anywhere meanwhile.
//
// # Failure
//
// A taken port is named. Datagrams for addresses outside 127/8 are dropped: the simulator can never be somebody's BMC.
package sim
