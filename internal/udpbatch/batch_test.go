// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package udpbatch

import (
	"net"
	"net/netip"
	"testing"
)

func TestManyAddressesOnOneSocket(t *testing.T) {
	srv, err := Listen("0.0.0.0:0", Options{PktInfo: true, Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	go func() {
		in, out := NewBatch(8), NewBatch(8)
		for {
			n, err := srv.Recv(in)
			if err != nil {
				return
			}
			for i := range n {
				m := &in.Msgs[i]
				out.Msgs[i].Set(m.Peer, m.Local, m.Data())
			}
			_ = srv.Send(out, n)
		}
	}()
	cli, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	out, in := NewBatch(8), NewBatch(8)
	port := srv.LocalAddr().Port()
	for i := range 8 {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 0, byte(i + 1)}), port)
		out.Msgs[i].Set(peer, netip.Addr{}, []byte{byte(i), 42})
	}
	if err := cli.Send(out, 8); err != nil {
		t.Fatal(err)
	}
	seen := map[netip.AddrPort]byte{}
	for len(seen) < 8 {
		n, err := cli.Recv(in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			seen[in.Msgs[i].Peer] = in.Msgs[i].Data()[0]
		}
	}
	for p, v := range seen {
		if p.Addr().As4()[3] != v+1 {
			t.Errorf("%s answered %d: the reply came from the wrong address", p, v)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() {
		_ = cli.Send(out, 1)
		if n, _ := cli.Recv(in); n != 1 {
			t.Error("no echo")
		}
	}); allocs > 0 && net.FlagUp != 0 {
		t.Errorf("%v allocations for a send and a receive, wanted 0", allocs)
	}
}
