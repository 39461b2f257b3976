// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// element is a BER element of less than 128 bytes.
func element(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append([]byte{tag, byte(len(body))}, body...)
}

// platformTrap is an IPMI platform event trap (SNMPv1).
func platformTrap(agent net.IP) []byte {
	enterprise := []byte{0x2b, 6, 1, 4, 1, 0x98, 0x6f, 1, 1}
	return element(0x30, element(2, []byte{0}), element(4, []byte("public")), element(0xa4,
		element(6, enterprise), element(0x40, agent.To4()), element(2, []byte{6}), element(2, []byte{7, 0x6f, 3}), element(0x43, []byte{1}),
		element(0x30, element(0x30, element(6, append(bytes.Clone(enterprise), 1)), element(4, make([]byte, 46))))))
}

// TestTrapsReachTheOwner: a trap comes to a conductor that does not look after the node, and the other one reads it. One of the
// BMCs is given by its name, which the sweep of its conductor has resolved.
func TestTrapsReachTheOwner(t *testing.T) {
	f := simulatedFrom(t, 2, netip.MustParseAddr("127.0.0.1"))
	cs := several(t, 2, func(_ int, c *Config) { c.SyncInterval, c.PETListen = 10*time.Minute, "127.0.0.1:0" })
	for i := range 2 {
		body := simulatedNode(f, i, fmt.Sprintf("m%d", i), "")
		if i == 0 {
			body = strings.Replace(body, `"127.0.0.1"`, `"localhost"`, 1)
		}
		if code, text := ask(t, cs[0], "POST", "/v1/nodes", body); code != 201 || i == 0 && !strings.Contains(text, "localhost") {
			t.Fatalf("%d %s", code, text)
		}
		ask(t, cs[0], "PUT", fmt.Sprintf("/v1/nodes/m%d/states/provision", i), `{"target":"manage"}`)
	}
	for i := range 2 {
		until(t, "the node to be managed everywhere", func() bool {
			for _, c := range cs {
				k, _ := c.store.Holder(fmt.Sprintf("name/m%d", i))
				if n, ok := c.store.Node(k.ID); !ok || n.ProvisionState != "manageable" || n.Intent != nil {
					return false
				}
			}
			return true
		})
	}
	for _, c := range cs {
		until(t, "the sweep to know its nodes", func() bool { return c.fleet.Sweep().Len() == c.fleet.Len() })
		c.fleet.Sweep().Round(t.Context(), 2)
	}
	for i := range 2 {
		k, _ := cs[0].store.Holder(fmt.Sprintf("name/m%d", i))
		n, _ := cs[0].store.Node(k.ID)
		other := cs[0]
		if other.placement.mine(n) {
			other = cs[1]
		}
		before := f.BMC(i).Polls()
		from := &net.UDPAddr{IP: f.Addr(i).Addr().AsSlice()}
		to, err := net.ResolveUDPAddr("udp", other.TrapsAt())
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.DialUDP("udp", from, to)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Write(platformTrap(from.IP))
		_ = c.Close()
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the owner to read the machine", func() bool { return f.BMC(i).Polls() > before })
	}
}
