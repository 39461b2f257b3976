// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"ferrite/client"
)

// demoMember is one conductor of a demo: a process that may be killed and started again.
type demoMember struct {
	name      string
	args      []string
	api, nats string
	cluster   *demoCluster

	mu     sync.Mutex // guards below
	cmd    *exec.Cmd  // nil = it does not run
	killed bool       // by us
	gone   chan struct{}
	pid    int
	line   string // the last of its log
}

// launcher runs what starts processes on one thread for the whole demo: a child that shall die with its parent dies with the
// thread that began it.
func launcher(work <-chan func()) {
	runtime.LockOSThread()
	for f := range work {
		f()
	}
}

// start begins the process.
func (m *demoMember) start() error {
	cmd := exec.Command("/proc/self/exe", m.args...) //nolint:gosec // this very binary
	cmd.Args[0] = os.Args[0]
	cmd.Env = withoutSettings(os.Environ())
	// A group of its own: Ctrl-C is for the demo. It dies with the demo, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	m.cluster.threads <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("conductor %s: %w", m.name, err)
	}
	m.mu.Lock()
	m.cmd, m.killed, m.gone, m.pid = cmd, false, make(chan struct{}), cmd.Process.Pid
	m.mu.Unlock()
	go m.attend(cmd, log)
	return nil
}

// withoutSettings is the environment without settings that are the user's own conductor's.
func withoutSettings(env []string) (out []string) {
	for _, kv := range env {
		if !strings.HasPrefix(kv, "FERRITE_") {
			out = append(out, kv)
		}
	}
	return out
}

// attend reads the process's log until it ends.
func (m *demoMember) attend(cmd *exec.Cmd, log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m.heard(lines.Text())
	}
	_, _ = io.Copy(io.Discard, log) // a line too long: it must not block
	err := cmd.Wait()
	m.mu.Lock()
	killed := m.killed
	m.cmd = nil
	close(m.gone)
	m.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case killed:
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled(): //nolint:forcetypeassert // on Linux it is one
		m.cluster.struck(m)
	default:
		m.cluster.ended(m, err)
	}
}

// heard shows warnings, and who leads.
func (m *demoMember) heard(line string) {
	m.mu.Lock()
	m.line = line
	m.mu.Unlock()
	var x map[string]any
	if json.Unmarshal([]byte(line), &x) != nil {
		m.cluster.d.say("%s  %s", m.name, plain(line))
		return
	}
	level, _ := x["level"].(string)
	text, _ := x["msg"].(string)
	colour := map[string]string{"WARN": yellow, "ERROR": red}[level]
	switch {
	case text == "a conductor leads the log" && x["here"] == true:
		text = m.name + " leads the log"
		m.cluster.d.say("%s  %s", m.cluster.d.colour.paint(dim, m.name), text)
	case colour != "" && !m.cluster.quiet(text):
		for _, k := range []string{"name", "peer", "reason", "error", "text"} {
			if v, ok := x[k]; ok {
				text += fmt.Sprintf("  %s=%v", k, v)
			}
		}
		m.cluster.d.say("%s  %s", m.cluster.d.colour.paint(colour, m.name), plain(text))
	}
}

// quiet reports lines that tell what the demo tells itself, or what belongs to a start.
func (c *demoCluster) quiet(text string) bool {
	for _, s := range []string{"a peer does not answer", "waiting for the other conductors", "a conductor is gone", "a member of the gossip cannot be taken into the log"} {
		if strings.HasPrefix(text, s) {
			return true
		}
	}
	return false
}

func (m *demoMember) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.line
}

func (m *demoMember) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil && !m.killed
}

// kill ends it as a power cut would, and waits until it is gone.
func (m *demoMember) kill() {
	m.mu.Lock()
	cmd, gone := m.cmd, m.gone
	m.killed = true
	m.mu.Unlock()
	if cmd == nil {
		return
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.cluster.d.say("%s: %v", m.name, err)
		return
	}
	<-gone
}

// ask is GET /v1/x/cluster.
func (m *demoMember) ask(ctx context.Context) (*client.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	api := client.New("http://"+m.api, client.WithUserAgent("ferrite-demo"))
	defer api.Close()
	return api.Cluster(ctx)
}
