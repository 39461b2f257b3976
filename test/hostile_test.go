// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// from opens a raw connection to the API from a loopback address.
func (s *site) from(ip string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	c, err := d.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		s.t.Fatalf("a connection from %s: %v", ip, err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

const rawGet = "GET /v1 HTTP/1.1\r\nHost: h\r\n\r\n"

// idle opens n connections from an address, each of which was answered once and says no more.
func (s *site) idle(ip string, n int) []net.Conn {
	s.t.Helper()
	all := make([]net.Conn, n)
	for i := range all {
		all[i] = s.from(ip)
		_ = all[i].SetDeadline(time.Now().Add(patience))
		if status := ask(all[i], rawGet); status != http.StatusOK {
			s.t.Fatalf("connection %d from %s is answered with %d", i, ip, status)
		}
	}
	return all
}

// ask sends a request and reads the whole answer; 0 = there is none.
func ask(c net.Conn, request string) int {
	if _, err := io.WriteString(c, request); err != nil {
		return 0
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return 0
	}
	return r.StatusCode
}

// memory is a line of /proc/PID/status, in MB: VmRSS now, VmHWM at most.
func (p *process) memory(line string) int {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		if name, rest, _ := strings.Cut(l, ":"); name == line {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb >> 10
		}
	}
	p.t.Fatalf("/proc/PID/status has no %s", line)
	return 0
}

// manyFiles skips where the test itself may not open so many connections.
func manyFiles(t *testing.T, n uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur < n {
		t.Skipf("wanted %d file descriptors, may have %d", n, l.Cur)
	}
}

func TestHostileConnectionsLeaveOthersServedAndNothingBehind(t *testing.T) {
	manyFiles(t, 4000)
	s := newSite(t, "--api-idle-timeout", "10m")
	code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n1"})
	if code != http.StatusCreated {
		t.Fatalf("POST node: %d %v", code, doc)
	}
	before := s.p.descriptors()
	idle := s.idle("127.0.0.2", 2000)
	var dribbling []net.Conn
	for i := range 200 {
		c := s.from("127.0.0.3")
		head := "GET /v1/nodes HTTP/1.1\r\nX: "
		if i%2 == 1 {
			head = "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"
		}
		_, _ = io.WriteString(c, head)
		dribbling = append(dribbling, c)
	}
	until(t, "all connections to be in", func() bool { return s.p.descriptors() >= before+2200-10 }) // some of the start may have been closed

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, c := range dribbling {
				_, _ = io.WriteString(c, "x")
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	for i := range 50 { // each a request of its own, changes among them
		if code, doc := s.call("GET", "/v1/nodes/n1", nil); code != http.StatusOK || doc["name"] != "n1" {
			t.Fatalf("GET %d is answered with %d %v", i, code, doc)
		}
		patch := []map[string]any{{"op": "add", "path": "/extra/round", "value": i}}
		if code, doc := s.call("PATCH", "/v1/nodes/n1", patch); code != http.StatusOK {
			t.Fatalf("PATCH %d is answered with %d %v", i, code, doc)
		}
	}
	if n := s.node("n1")["extra"].(map[string]any)["round"]; n != 49.0 {
		t.Errorf("the last change is %v, wanted 49", n)
	}
	// The dribbled headers are cut off while the client goes on sending; the bodies and the idle ones have longer.
	for i := 0; i < len(dribbling); i += 2 {
		_ = dribbling[i].SetReadDeadline(time.Now().Add(patience))
		r, err := http.ReadResponse(bufio.NewReader(dribbling[i]), nil)
		if err != nil {
			continue // closed over what was still under way
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusRequestTimeout {
			t.Errorf("a dribbled header is answered with %d", r.StatusCode)
		}
	}
	close(stop)
	wg.Wait()
	until(t, "the dribbled headers to be closed", func() bool { return s.p.descriptors() <= before+2100+20 })
	if status := ask(idle[0], rawGet); status != http.StatusOK {
		t.Errorf("an idle connection is answered with %d when it asks again", status)
	}
	for _, c := range append(idle, dribbling...) {
		_ = c.Close()
	}
	until(t, "the descriptors of the start", func() bool { return s.p.descriptors() <= before+10 })
	if code, _ := s.call("GET", "/v1/nodes/n1", nil); code != http.StatusOK {
		t.Errorf("afterwards: %d", code)
	}
	s.p.signal(syscall.SIGTERM)
	if code := s.p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestClientsLeaveDescriptorsToTheStore(t *testing.T) {
	manyFiles(t, 2000)
	script := filepath.Join(t.TempDir(), "few")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -n 400 && exec "+binary+" \"$@\"\n"), 0o700); err != nil { //nolint:gosec // must be run
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), bin: script}
	s.api = fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp"))
	s.nats = fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	s.start()
	before := s.p.descriptors()
	s.idle("127.0.0.2", 600) // each is answered: the longest idle make room
	if n := s.p.descriptors(); n > before+200 {
		t.Errorf("%d descriptors are open, %d at the start: wanted at most 200 more, half of what it may have", n, before)
	}
	for i := range 20 {
		if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware"}); code != http.StatusCreated {
			t.Fatalf("write %d is answered with %d %v", i, code, doc)
		}
	}
}

func TestMemoryIsBoundedUnderAFlood(t *testing.T) {
	manyFiles(t, 8000)
	s := newSite(t)
	base := s.p.memory("VmRSS")
	for i := range 5 {
		s.idle(fmt.Sprintf("127.0.0.%d", 2+i), 1000)
	}
	idle := s.p.memory("VmRSS")
	if idle-base > 400 {
		t.Errorf("5000 idle connections take %d MB", idle-base)
	}
	bodies := map[string]string{
		"text":   `{"driver":"fake-hardware","description":"` + strings.Repeat("x", 1_000_000) + `"}`,
		"values": `{"driver":"no-such","extra":{"a":[` + strings.Repeat(`{"":0},`, 32_000) + `0]}}`,
	}
	var answers [600]atomic.Int64
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			body := bodies["text"]
			if i%2 == 1 {
				body = bodies["values"]
			}
			request := fmt.Sprintf("POST /v1/nodes HTTP/1.1\r\nHost: h\r\nX-OpenStack-Ironic-API-Version: 1.89\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			for range 20 {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(2+i))}}
				c, err := d.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				answers[ask(c, request)].Add(1)
				_ = c.Close()
			}
		})
	}
	flooded := make(chan struct{})
	go func() { wg.Wait(); close(flooded) }()
	for served := 0; ; served++ {
		if code, doc := s.call("GET", "/v1/nodes", nil); code != http.StatusOK {
			t.Fatalf("GET %d during the flood: %d %v", served, code, doc)
		}
		select {
		case <-flooded:
			if served == 0 {
				t.Error("nobody was served during the flood")
			}
		default:
			continue
		}
		break
	}
	for code := range answers {
		switch n := answers[code].Load(); {
		case n == 0:
		case code == http.StatusCreated || code == http.StatusBadRequest || code == http.StatusServiceUnavailable:
			t.Logf("%d answers with %d", n, code)
		default: // 0 = none at all
			t.Errorf("%d answers with %d", n, code)
		}
	}
	peak := s.p.memory("VmHWM")
	t.Logf("RSS %d MB at the start, %d MB with 5000 idle connections, %d MB at most", base, idle, peak)
	if peak-base > 1200 {
		t.Errorf("the flood took %d MB", peak-base)
	}
}
