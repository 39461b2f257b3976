// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"ferrite/httpapi"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// shelf is a Reader over slices: what a list costs beyond the store.
type shelf struct {
	nodes  []*node.Node
	byUUID map[string]*node.Node
}

func newShelf(n int) *shelf {
	s := &shelf{byUUID: map[string]*node.Node{}}
	for i := range n {
		in := map[string]string{}
		for _, k := range node.InterfaceKinds {
			in[k] = "ipmitool"
		}
		x := &node.Node{
			UUID: fleetID(i), Name: fmt.Sprintf("rack%d-u%d", i/40, i%40), Driver: "ipmi", Interfaces: in, ResourceClass: "baremetal",
			DriverInfo: map[string]any{"ipmi_address": fmt.Sprintf("10.0.%d.%d", i/250, i%250), "ipmi_username": "admin", "ipmi_password": "secret"},
			Properties: map[string]any{"cpu_arch": "x86_64", "memory_mb": 262144.0, "cpus": 64.0, "local_gb": 900.0, "vendor": "intel corporation"},
			PowerState: node.PowerOn, ProvisionState: node.Available, CreatedAt: sampleMade, UpdatedAt: sampleUpdated, ProvisionUpdatedAt: sampleUpdated,
			DriverInternalInfo: map[string]any{"last_power_state_change": "2026-03-02T09:00:01+00:00"}, Created: node.Rev(i + 1), Outer: 1,
		}
		s.nodes = append(s.nodes, x)
		s.byUUID[x.UUID] = x
	}
	return s
}

func (s *shelf) Node(id string) (*node.Node, bool)                            { n, ok := s.byUUID[id]; return n, ok }
func (s *shelf) Port(string) (*inventory.Port, bool)                          { return nil, false }
func (s *shelf) Holder(string) (persistence.Key, bool)                        { return persistence.Key{}, false }
func (s *shelf) PortsOf(string) []*inventory.Port                             { return nil }
func (s *shelf) ReadIndex(context.Context) (node.Rev, error)                  { return 1, nil }
func (s *shelf) LeaderContact() time.Time                                     { return time.Now() }
func (s *shelf) Ports(*inventory.Port, func(*inventory.Port) bool)            {}
func (s *shelf) Scan(persistence.Kind, string, func(persistence.Record) bool) {}
func (s *shelf) Nodes(after *node.Node, fn func(*node.Node) bool) {
	start := 0
	if after != nil {
		start = int(after.Created) //nolint:gosec // counts nodes
	}
	for _, n := range s.nodes[start:] {
		if !fn(n) {
			return
		}
	}
}

// yes answers every update with what was wanted.
type yes struct{}

func (yes) Do(_ context.Context, _ string, _ node.Meta, m node.Msg) (any, error) {
	if u, ok := m.(node.UpdateNode); ok {
		return u.Want, nil
	}
	return nil, nil
}

func benchmarkRequest(b *testing.B, nodes int, method, uri, body string) {
	discard := slog.New(slog.DiscardHandler)
	api, err := httpapi.New(httpapi.Config{Commands: yes{}, Reader: newShelf(nodes), Hardware: hardware{}, Members: members{}, Logger: discard, Audit: discard})
	if err != nil {
		b.Fatal(err)
	}
	var ctx fasthttp.RequestCtx
	run := func() {
		ctx.Request.Reset()
		ctx.Response.ResetBody()
		ctx.Request.Header.SetMethod(method)
		ctx.Request.SetRequestURI(uri)
		ctx.Request.Header.SetHost("h:6385")
		ctx.Request.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
		ctx.Request.SetBodyString(body)
		api.Handler(&ctx)
	}
	run()
	if ctx.Response.StatusCode() != 200 {
		b.Fatalf("%s %s: %s", method, uri, ctx.Response.Body())
	}
	b.SetBytes(int64(len(ctx.Response.Body())))
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

func BenchmarkGetNode(b *testing.B) {
	benchmarkRequest(b, 1000, "GET", "/v1/nodes/"+fleetID(500), "")
}

func BenchmarkListDetail1000(b *testing.B) {
	benchmarkRequest(b, 1000, "GET", "/v1/nodes/detail", "")
}

func BenchmarkListShort1000(b *testing.B) { benchmarkRequest(b, 1000, "GET", "/v1/nodes", "") }

func BenchmarkPatch(b *testing.B) {
	benchmarkRequest(b, 1000, "PATCH", "/v1/nodes/"+fleetID(500), `[{"op":"add","path":"/extra/a","value":1},{"op":"replace","path":"/properties/cpu_arch","value":"arm"}]`)
}

// A list's allocations do not grow with its items: encoders append to the response's buffer.
func TestListAllocations(t *testing.T) {
	measure := func(nodes int) float64 {
		discard := slog.New(slog.DiscardHandler)
		api, err := httpapi.New(httpapi.Config{Commands: yes{}, Reader: newShelf(nodes), Hardware: hardware{}, Members: members{}, Logger: discard, Audit: discard})
		if err != nil {
			t.Fatal(err)
		}
		var ctx fasthttp.RequestCtx
		ctx.Request.SetRequestURI("/v1/nodes/detail")
		ctx.Request.Header.SetHost("h:6385")
		ctx.Request.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
		return testing.AllocsPerRun(20, func() { api.Handler(&ctx) })
	}
	few, many := measure(10), measure(900)
	if many > few+50 {
		t.Errorf("a list of 900 allocates %.0f times, of 10 %.0f: wanted as good as no difference", many, few)
	}
}
