// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Many addresses, one socket: each client talks to its BMC through a connected socket, which hears no other source. With
// latency the reply takes the other way out of the simulator.
func TestServedOverUDP(t *testing.T) {
	for _, latency := range []time.Duration{0, time.Millisecond} {
		f := start(t, func(c *Config) { c.BMCs, c.Latency, c.Jitter = 300, latency, 0.5 })
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(f.Addr(i)))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				r := make([]byte, 100)
				for tag := range byte(3) {
					if _, err := conn.Write([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, tag, 0, 0}); err != nil {
						t.Error(err)
					}
					if n, err := conn.Read(r); err != nil || n != 28 || r[9] != tag {
						t.Errorf("latency %v, BMC %d: % x, %v", latency, i, r[:n], err)
					}
				}
				f.BMC(i).SetPower(i%2 == 0)
			})
		}
		wg.Wait()
		if s := f.Stats(); s.PacketsIn != 900 || s.Drops != 0 {
			t.Errorf("latency %v: %+v, wanted 900 packets in", latency, s)
		}
	}
}

// Handles are for any goroutine while packets come in.
func TestHandlesBesideTraffic(t *testing.T) {
	f := fleet(t, nil)
	b := f.BMC(0)
	c := newConsole(t, f, 0, 17).login().admin()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				b.SetPower(!b.Power())
				b.SetRefusePower(false)
				b.SetLatency(0)
				_, _ = b.BootDevice()
				_, _, _ = b.Commands(), f.Sessions(), f.Stats()
			}
		}
	}()
	for range 500 {
		c.want(0, 0, 1)
		c.want(0, 0, 8, 5, 0xa0, 4, 0, 0, 0)
		c.want(0, 0, 2, 1)
	}
	close(stop)
	<-done
	if n := b.Polls(); n != 500 {
		t.Errorf("%d polls, wanted 500", n)
	}
}

func TestControlDocuments(t *testing.T) {
	f := start(t, func(c *Config) { c.BMCs, c.Control, c.Latency = 10, "127.0.0.1:0", 2*time.Millisecond })
	get := func(path string) (int, map[string]any) {
		r, err := http.Get("http://" + f.ControlAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var doc map[string]any
		if b, _ := io.ReadAll(r.Body); json.Unmarshal(b, &doc) != nil && r.StatusCode == 200 {
			t.Errorf("%s is no JSON: %s", path, b)
		}
		return r.StatusCode, doc
	}
	f.BMC(1).SetPower(true)
	f.BMC(2).SetDead(true)
	if code, d := get("/"); code != 200 || d["bmcs"] != 10.0 || d["on"] != 1.0 || d["off"] != 9.0 || d["dead"] != 1.0 || d["sessions"] != 0.0 {
		t.Errorf("summary %d %v", code, d)
	}
	code, d := get("/bmcs/1")
	var keys []string
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	want := "[address boot_device boot_persistent commands dead fault identify_light index latency lose_replies polls power refuse_power sessions]"
	if code != 200 || fmt.Sprint(keys) != want || d["power"] != "on" || d["latency"] != "2ms" || d["address"] != f.Addr(1).String() {
		t.Errorf("%d %v", code, d)
	}
	for _, path := range []string{"/bmcs/10", "/bmcs/-1", "/bmcs/x"} {
		if code, d := get(path); code != 404 || !strings.Contains(fmt.Sprint(d["error"]), "from 0 to 9") {
			t.Errorf("%s: %d %v", path, code, d)
		}
	}
	q, _ := http.NewRequest("PUT", "http://"+f.ControlAddr()+"/bmcs/3", strings.NewReader(`{"power":"on"} {"power":"off"}`))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 400 || f.BMC(3).Power() {
		t.Errorf("two documents in one body: %d, power %v; wanted 400 and no change", r.StatusCode, f.BMC(3).Power())
	}
}

// A fleet that never ran gives its ports back too.
func TestCloseWithoutRun(t *testing.T) {
	cfg := Defaults()
	cfg.BMCs, cfg.Listen, cfg.Control = 2, "0.0.0.0:0", "127.0.0.1:0"
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.Control = fmt.Sprintf("0.0.0.0:%d", f.Addr(0).Port()), f.ControlAddr()
	f.Close()
	f.Close()
	again, err := New(cfg)
	if err != nil {
		t.Fatalf("the ports are still taken: %v", err)
	}
	again.Close()
	busy, err := net.Listen("tcp", cfg.Control)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), cfg.Control) {
		t.Errorf("a taken control port: %v, wanted its name", err)
	}
	cfg.Control = ""
	f, err = New(cfg) // the failed one left the UDP port free
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
