// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

// bigNode is a node whose record takes about 3 KB.
func bigNode(i int) *node.Node {
	id := fmt.Sprintf("11111111-0000-4000-8000-%012d", i)
	return &node.Node{
		UUID: id, Name: fmt.Sprintf("rack%d-u%d", i/40, i%40), Driver: "ipmi", ResourceClass: "baremetal",
		DriverInfo: map[string]any{
			"ipmi_address": fmt.Sprintf("10.0.%d.%d", i/250, i%250), "ipmi_username": "admin", "ipmi_password": "pässwörd-" + id,
			"deploy_kernel": "file:///images/kernel", "deploy_ramdisk": "file:///images/ramdisk", "ipmi_port": float64(623),
		},
		Properties: map[string]any{"cpus": float64(64), "memory_mb": float64(262144), "local_gb": float64(960), "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"},
		InstanceInfo: map[string]any{
			"image_source": "http://images/ubuntu.qcow2", "image_checksum": strings.Repeat("ab", 32), "configdrive": strings.Repeat("c", 900),
		},
		Extra:              map[string]any{"note": strings.Repeat("x", 600)},
		DriverInternalInfo: map[string]any{"last_power_state_change": "2026-03-01T12:00:00", "agent_url": "http://10.0.0.1:9999", "hardware_manager_version": map[string]any{"generic": "1.1"}},
		Interfaces: map[string]string{
			"bios": "no-bios", "boot": "ipxe", "console": "no-console", "deploy": "direct", "inspect": "no-inspect", "management": "ipmitool",
			"network": "noop", "power": "ipmitool", "raid": "no-raid", "rescue": "no-rescue", "storage": "noop", "vendor": "ipmitool",
		},
		PowerState: node.PowerOn, ProvisionState: node.Active, Traits: []string{"CUSTOM_A", "CUSTOM_B"},
	}
}

func bigEvent(n *node.Node) persistence.Event {
	return persistence.Event{
		Subject: "ironic_versioned_notifications.info.baremetal.node.power_set.end", Node: n.UUID,
		Body: []byte(`{"payload":"` + strings.Repeat("p", 3000) + `"}`),
	}
}

func commitNode(s persistence.Store, n *node.Node, rev node.Rev, events ...persistence.Event) (node.Rev, error) {
	k := persistence.Key{Kind: persistence.KindNode, ID: n.UUID}
	return s.Commit(context.Background(), persistence.Tx{
		If:     []persistence.Cond{{Key: k, Rev: rev}},
		Put:    []persistence.Put{{Key: k, Value: n, Uniq: []string{"name/" + n.Name}}},
		Events: events,
	})
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := persistence.Open(testConfig(b.TempDir()))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					n := bigNode(w)
					event := bigEvent(n)
					var rev node.Rev
					for range work {
						next, err := commitNode(s, n, rev, event)
						if err != nil {
							b.Error(err)
							return
						}
						rev = next
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func BenchmarkReadIndex(b *testing.B) {
	s, err := persistence.Open(testConfig(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ReadIndex(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a store of 50,000 nodes of 3 KB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := persistence.Open(testConfig(dir))
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < 50_000; i += 64 {
				if _, err := commitNode(s, bigNode(i), 0); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := persistence.Open(testConfig(dir))
		if err != nil {
			b.Fatal(err)
		}
		if s.Len(persistence.KindNode) != 50_000 {
			b.Fatalf("%d nodes", s.Len(persistence.KindNode))
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
}
