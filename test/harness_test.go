// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// binary is the ferrite under test: FERRITE_BIN, or one built here.
var binary string

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "5"); err != nil { // they mostly wait
		panic(err)
	}
	code := func() int {
		if binary = os.Getenv("FERRITE_BIN"); binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "ferrite-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "ferrite")
		if out, err := exec.Command("go", "build", "-o", binary, "ferrite/cmd/ferrite").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building ferrite: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code)
}

// patience is how long a test waits for something that must happen; it asserts no time.
const patience = 60 * time.Second

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for: %s", patience, what)
		}
	}
}

// ports counts up below the range from which the system takes the ports of outgoing connections, so that neither those
// nor another test can take a port between its choice and its use.
var ports atomic.Int64

const firstPort, lastPort = 20000, 32000

// freePort finds a port of the given network that nobody holds and no other test was given.
func freePort(t *testing.T, network string) int {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + int(ports.Add(1)+int64(os.Getpid()))%(lastPort-firstPort)
		var held io.Closer
		var err error
		if network == "udp" {
			held, err = net.ListenPacket("udp", fmt.Sprintf("0.0.0.0:%d", port))
		} else {
			held, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		}
		if err == nil {
			_ = held.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// process is a running ferrite.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
	err  error
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}
func (b *lockedBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// run starts ferrite with these arguments; it is killed at the end of the test.
func run(t *testing.T, args ...string) *process {
	t.Helper()
	return runAs(t, binary, nil, args...)
}

// runAs starts another build of ferrite, with more environment.
func runAs(t *testing.T, binary string, env []string, args ...string) *process {
	t.Helper()
	return runOn(t, nil, binary, env, args...)
}

// runOn is runAs on a terminal, nil = none.
func runOn(t *testing.T, line *os.File, binary string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), out: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if line != nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = line, line, line
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("ferrite %s:\n%s", strings.Join(args, " "), p.out)
		}
	})
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() { p.signal(syscall.SIGKILL); <-p.done }

// exit waits for the process and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process did not end:\n%s", p.out)
	}
	var e *exec.ExitError
	if errors.As(p.err, &e) {
		return e.ExitCode()
	}
	return 0
}

// site is one conductor with its folder and ports; it can be started again.
type site struct {
	t    *testing.T
	dir  string
	api  string
	nats string
	args []string
	bin  string        // build of ferrite; "" = the one under test
	env  []string      // more environment of it
	in   []string      // command that runs it somewhere else
	born func(pid int) // hears of each process, nil = nobody does
	p    *process
}

func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), args: args}
	s.api = fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp"))
	s.nats = fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	s.start()
	return s
}

func (s *site) start() {
	s.t.Helper()
	s.launch()
	until(s.t, "the API to be ready", func() bool {
		select {
		case <-s.p.done:
			s.t.Fatalf("serve ended:\n%s", s.p.out)
		default:
		}
		r, err := http.Get(s.api + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// launch starts the process and waits for nothing.
func (s *site) launch() {
	s.t.Helper()
	args := append([]string{"serve", "--name", "c1", "--data-dir", s.dir, "--api-listen", strings.TrimPrefix(s.api, "http://"), "--notification-level", "info"}, s.args...)
	if !slices.Contains(args, "--nats-url") {
		args = append(args, "--nats-listen", s.nats)
	}
	bin := s.bin
	if bin == "" {
		bin = binary
	}
	if len(s.in) > 0 {
		bin, args = s.in[0], slices.Concat(s.in[1:], []string{bin}, args)
	}
	s.p = runAs(s.t, bin, s.env, args...)
	if s.born != nil {
		s.born(s.p.cmd.Process.Pid)
	}
}

// call makes one API request at 1.90 and decodes the answer.
func (s *site) call(method, path string, body any) (int, map[string]any) {
	s.t.Helper()
	code, doc, err := s.try(method, path, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return code, doc
}

func (s *site) try(method, path string, body any) (int, map[string]any, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(b)
	}
	q, err := http.NewRequest(method, s.api+path, in)
	if err != nil {
		return 0, nil, err
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
	q.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	doc := map[string]any{}
	b, err := io.ReadAll(r.Body)
	if len(b) > 0 && err == nil {
		_ = json.Unmarshal(b, &doc)
	}
	return r.StatusCode, doc, err
}

func (s *site) node(ident string) map[string]any {
	s.t.Helper()
	code, doc := s.call("GET", "/v1/nodes/"+ident, nil)
	if code != http.StatusOK {
		s.t.Fatalf("GET node %s: %d %v", ident, code, doc)
	}
	return doc
}

// await polls a node until its fields have these values.
func (s *site) await(ident string, want map[string]any) map[string]any {
	s.t.Helper()
	var last map[string]any
	until(s.t, fmt.Sprintf("node %s with %v", ident, want), func() bool {
		last = s.node(ident)
		for k, v := range want {
			if last[k] != v {
				return false
			}
		}
		return true
	})
	return last
}

// heard collects the notifications of a NATS subscriber.
type heard struct {
	mu  sync.Mutex // guards all
	all []*nats.Msg
}

func (s *site) listen() *heard {
	s.t.Helper()
	nc, err := nats.Connect("nats://" + s.nats)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	h := &heard{}
	sub, err := nc.Subscribe("ironic_versioned_notifications.>", func(m *nats.Msg) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all = append(h.all, m)
	})
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // a slow test must not drop what was told
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.t.Fatal(err)
	}
	return h
}

// events are the event types heard for a node, in order, without "baremetal.". What came twice, as it may after a restart, counts
// once (N2).
func (h *heard) events(uuid string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	seen := map[string]bool{}
	for _, m := range h.all {
		if m.Header.Get("Ironic-Node") == uuid && !seen[m.Header.Get("Ferrite-Rev")] {
			seen[m.Header.Get("Ferrite-Rev")] = true
			_, e, _ := strings.Cut(m.Subject, "baremetal.")
			out = append(out, e)
		}
	}
	return out
}

// farm is a simulated fleet of BMCs in a process of its own.
type farm struct {
	t       *testing.T
	p       *process
	port    int
	control string
}

func newFarm(t *testing.T, bmcs int, args ...string) *farm {
	t.Helper()
	f := &farm{t: t, port: freePort(t, "udp"), control: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))}
	f.p = run(t, append([]string{"sim", "--bmcs", fmt.Sprint(bmcs), "--listen", fmt.Sprintf("0.0.0.0:%d", f.port), "--address-base", "127.1.0.1", "--control", f.control}, args...)...)
	until(t, "the simulator", func() bool {
		r, err := http.Get("http://" + f.control + "/bmcs/0")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return f
}

func (f *farm) address(i int) string { return fmt.Sprintf("127.1.0.%d", 1+i) }

func (f *farm) driverInfo(i int) map[string]any {
	return map[string]any{"ipmi_address": f.address(i), "ipmi_port": f.port, "ipmi_username": "admin", "ipmi_password": "password"}
}

func (f *farm) get(i int) map[string]any {
	f.t.Helper()
	r, err := http.Get(fmt.Sprintf("http://%s/bmcs/%d", f.control, i))
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	doc := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&doc); err != nil {
		f.t.Fatal(err)
	}
	return doc
}

func (f *farm) put(i int, change map[string]any) {
	f.t.Helper()
	b, _ := json.Marshal(change)
	q, _ := http.NewRequest("PUT", fmt.Sprintf("http://%s/bmcs/%d", f.control, i), bytes.NewReader(b))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		f.t.Fatalf("PUT bmc %d %v: %s", i, change, r.Status)
	}
}

// commands are the names of the mutating chassis commands that a BMC has executed, in order.
func (f *farm) commands(i int) []string {
	var out []string
	list, _ := f.get(i)["commands"].([]any)
	for _, c := range list {
		if name, _ := c.(map[string]any)["name"].(string); strings.HasPrefix(name, "chassis control") {
			out = append(out, strings.TrimPrefix(name, "chassis control: "))
		}
	}
	return out
}
