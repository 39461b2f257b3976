// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"ferrite/cluster"
)

// Three conductors are stopped and started with another set of hardware types: they agree on it. One that is started with the old
// one then is refused, as one with the new one was while the others ran with the old one.
func TestAllAreStartedWithOtherSettings(t *testing.T) { // L4
	network := cluster.NewNetwork()
	var join []string
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		join = append(join, ln.Addr().String())
		_ = ln.Close()
	}
	cfgs := make([]Config, 3)
	for i := range cfgs {
		cfgs[i] = oneOf(t, network, fmt.Sprint("c", i+1), join...)
		cfgs[i].Cluster.Gossip, cfgs[i].Cluster.Expect = join[i], 3
	}
	all := func() (cs [3]*Conductor) {
		t.Helper()
		errs := make(chan error, 3)
		for i, cfg := range cfgs {
			go func() {
				var err error
				cs[i], err = Start(context.Background(), cfg)
				errs <- err
			}()
		}
		for range cfgs {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		for _, c := range cs {
			if c != nil {
				t.Cleanup(func() { stop(t, c) })
			}
		}
		if t.Failed() {
			t.FailNow()
		}
		return cs
	}
	alone := func(cfg Config, want string) {
		t.Helper()
		if c, err := Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "stop all, and start all") {
			t.Errorf("%v, %v, wanted %q", c, err, want)
		}
	}
	cs := all()
	until(t, "all vote", func() bool { _, voter, _ := cs[2].store.Role(); return voter })
	old := cfgs[2]
	for i := range cfgs {
		cfgs[i].Policy.HardwareTypes = slices.DeleteFunc(slices.Clone(cfgs[i].Policy.HardwareTypes), func(h string) bool { return h == "ipmi" })
	}
	stop(t, cs[2])
	alone(cfgs[2], "enabled_hardware_types is [fake-hardware ipmi] there and [fake-hardware] here")
	stop(t, cs[1])
	stop(t, cs[0])
	cs = all()
	for _, c := range cs {
		if code, text := ask(t, c, "GET", "/v1/drivers", ""); code != 200 || strings.Contains(text, "ipmi") || !strings.Contains(text, "fake-hardware") {
			t.Errorf("%s: %d %s", c.cfg.Name, code, text)
		}
	}
	stop(t, cs[2])
	alone(old, "enabled_hardware_types is [fake-hardware] there and [fake-hardware ipmi] here")
}
