// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// Cable is what bytes to other members go through, where it is not the network as it is: tests cut it.
type Cable interface {
	// Dial connects to host:port over TCP.
	Dial(ctx context.Context, address string) (net.Conn, error)
	// Lost reports whether a datagram to host:port is lost.
	Lost(address string) bool
	// Relay is an address here that leads to host:port, for who dials by itself.
	Relay(address string) (string, error)
}

// wired is the gossip's sockets, behind a cable.
type wired struct {
	*memberlist.NetTransport
	cable Cable
}

var _ memberlist.NodeAwareTransport = (*wired)(nil)

// wire makes the sockets that memberlist would make by itself.
func wire(cable Cable, host string, port int, logger *log.Logger) (*wired, error) {
	var err error
	for range 10 { // a free port of TCP may be taken for UDP
		var t *memberlist.NetTransport
		if t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{host}, BindPort: port, Logger: logger}); err == nil {
			return &wired{t, cable}, nil
		}
		if port != 0 || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, fmt.Errorf("could not set up network transport: %w", err)
}

// WriteTo implements memberlist.Transport.
func (w *wired) WriteTo(b []byte, addr string) (time.Time, error) {
	return w.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (w *wired) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if w.cable.Lost(to.Addr) {
		return time.Now(), nil
	}
	return w.NetTransport.WriteToAddress(b, to)
}

// DialTimeout implements memberlist.Transport.
func (w *wired) DialTimeout(addr string, wait time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return w.cable.Dial(ctx, addr)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (w *wired) DialAddressTimeout(to memberlist.Address, wait time.Duration) (net.Conn, error) {
	return w.DialTimeout(to.Addr, wait)
}
