// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config says how many BMCs there are and how they behave. All chance comes from Seed.
type Config struct {
	BMCs        int
	Listen      string     // UDP address of the one socket; the host must cover all BMCs: 0.0.0.0
	AddressBase netip.Addr // of BMC 0
	User        string
	Password    string // up to 20 bytes
	Latency     time.Duration
	Jitter      float64           // share of Latency, 0..1: replies come after Latency +- Jitter
	Loss        float64           // share of datagrams lost, each way
	Dead        float64           // share of BMCs that never answer
	Faults      map[Fault]float64 // share of BMCs with each fault
	Seed        int64
	Control     string // loopback address of the control API, "" = none
	Sessions    int    // session slots of a BMC
	SDRChunk    int    // most bytes of a sensor record in one answer, as BMCs with small buffers have it; 0 = 62
}

func (c Config) sdrChunk() int {
	if c.SDRChunk == 0 {
		return maxReplyData - 2
	}
	return c.SDRChunk
}

// Defaults are 200 quick, healthy BMCs.
func Defaults() Config {
	return Config{BMCs: 200, Listen: "0.0.0.0:6230", AddressBase: netip.AddrFrom4([4]byte{127, 1, 0, 1}), User: "admin", Password: "password", Seed: 1, Sessions: 4}
}

// Validate says which value is wrong and what is allowed. New does it too.
func (c Config) Validate() error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

func (c Config) validate() error {
	switch {
	case c.BMCs < 1:
		return fmt.Errorf("bmcs is %d: wanted at least 1", c.BMCs)
	case !c.AddressBase.Is4() || !c.AddressBase.IsLoopback():
		return fmt.Errorf("address-base is %s: wanted an address in 127.0.0.0/8", c.AddressBase)
	case len(c.User) > 16:
		return fmt.Errorf("user has %d bytes: IPMI allows 16", len(c.User))
	case len(c.Password) > 20:
		return fmt.Errorf("password has %d bytes: IPMI allows 20", len(c.Password))
	case c.Latency < 0:
		return fmt.Errorf("latency is %s: wanted 0 or more", c.Latency)
	}
	for _, x := range []struct {
		name string
		v    float64
	}{{"jitter", c.Jitter}, {"loss", c.Loss}, {"dead", c.Dead}} {
		if x.v < 0 || x.v > 1 {
			return fmt.Errorf("%s is %v: wanted a share from 0 to 1", x.name, x.v)
		}
	}
	if err := checkFaults(c.Faults); err != nil {
		return err
	}
	last := add(c.AddressBase, c.BMCs-1)
	if !last.IsLoopback() {
		return fmt.Errorf("%d BMCs from %s end at %s: wanted all in 127.0.0.0/8", c.BMCs, c.AddressBase, last)
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil { // a wrong one fails when it is used
		ip, err := netip.ParseAddr(host)
		if err == nil && !ip.IsUnspecified() && (ip != c.AddressBase || c.BMCs > 1) {
			return fmt.Errorf("listen is %q, and no datagram to the BMCs %s to %s arrives there: wanted 0.0.0.0:PORT", c.Listen, c.AddressBase, last)
		}
	}
	if c.Control != "" {
		host, _, err := net.SplitHostPort(c.Control)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("control is %q: wanted a loopback address with a port, like 127.0.0.1:6231", c.Control)
		}
	}
	return nil
}

// number is an IPv4 address as a number.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func add(a netip.Addr, i int) netip.Addr {
	n := number(a) + uint32(i) //nolint:gosec // checked by validate
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
