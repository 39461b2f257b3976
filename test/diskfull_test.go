// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// smallDisk makes a site whose data folder is on a small disk of its own, in memory.
func smallDisk(t *testing.T, size string, args ...string) *site {
	t.Helper()
	s := ownDisk(t, "mount -t tmpfs -o size="+size+" none", args...)
	s.start()
	return s
}

// ownDisk makes a site whose data folder is on what a command mounts there, seen by that process alone.
func ownDisk(t *testing.T, mount string, args ...string) *site {
	t.Helper()
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a mount namespace of its own needs root: %v %s", err, out)
	}
	s := &site{
		t: t, dir: t.TempDir(), args: args,
		api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")),
	}
	wrapper := filepath.Join(t.TempDir(), "ferrite-on-small-disk")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare -m sh -c '%s %s && exec \"$0\" \"$@\"' %s \"$@\"\n", mount, s.dir, binary)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s.bin = wrapper
	return s
}

// inside is a path as the process sees it.
func (p *process) inside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, path)
}

// fill takes all room but so many bytes.
func fill(t *testing.T, dir string, leave uint64) string {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := st.Bavail * uint64(st.Bsize)
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for left := int64(free - leave); left > 0; left -= int64(len(chunk)) {
		if _, err := f.Write(chunk[:min(int64(len(chunk)), left)]); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// TestFullDisk fills the disk: changes are refused with the reason, reads and power readings go on, and when there is room
// again all goes on by itself.
func TestFullDisk(t *testing.T) { // R4
	t.Parallel()
	f := newFarm(t, 1)
	s := smallDisk(t, "400m", "--sync-power-state-interval", "1s", "--ipmi-min-command-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	s.power("n1", "power on")
	s.await("n1", power("power on"))
	if s.metric("conductor_disk_free_bytes") == 0 || s.metric("conductor_disk_low") != 0 {
		t.Errorf("free %v, low %v", s.metric("conductor_disk_free_bytes"), s.metric("conductor_disk_low"))
	}
	filler := fill(t, s.p.inside(s.dir), 32<<20)
	body := map[string]any{"driver": "fake-hardware"}
	until(t, "changes to be refused", func() bool {
		code, doc := s.call("POST", "/v1/nodes", body)
		return code == http.StatusServiceUnavailable && strings.Contains(fmt.Sprint(doc), "the disk is nearly full")
	})
	if code, doc := s.call("PUT", "/v1/nodes/n1/states/power", map[string]any{"target": "power off"}); code != http.StatusServiceUnavailable {
		t.Errorf("power off without room for its intent: %d %v", code, doc)
	}
	if got := s.node("n1")["power_state"]; got != "power on" {
		t.Errorf("power state %v", got)
	}
	before := f.get(0)["polls"].(float64)
	until(t, "power readings to go on", func() bool { return f.get(0)["polls"].(float64) > before+3 })
	if s.metric("conductor_disk_low") != 1 {
		t.Error("conductor_disk_low is 0")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	until(t, "changes to be taken again", func() bool { code, _ := s.call("POST", "/v1/nodes", body); return code == http.StatusCreated })
	s.power("n1", "power off")
	s.await("n1", power("power off"))
	if got := fmt.Sprint(f.commands(0)); got != "[power on power off]" {
		t.Errorf("commands %s", got)
	}
}

// TestAStartWithoutRoom kills a conductor whose disk is below the watermark and starts it again: readers are answered, its machines
// are looked at, changes are refused with the reason, and the next start has room.
func TestAStartWithoutRoom(t *testing.T) { // R4
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--sync-power-state-interval", "1s", "--ipmi-min-command-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	s.power("n1", "power on")
	s.await("n1", power("power on"))
	s.p.kill()
	args := s.args
	s.args = append(slices.Clone(args), "--disk-min-free-mb", "999999999")
	s.launch()
	until(t, "a reader to be answered", func() bool {
		code, doc, err := s.try("GET", "/v1/nodes/n1", nil)
		return err == nil && code == http.StatusOK && doc["power_state"] == "power on"
	})
	if code, doc := s.call("PUT", "/v1/nodes/n1/states/power", map[string]any{"target": "power off"}); code != http.StatusServiceUnavailable || !strings.Contains(fmt.Sprint(doc), "the disk is nearly full") {
		t.Errorf("power off without room for its intent: %d %v", code, doc)
	}
	before := f.get(0)["polls"].(float64)
	until(t, "power readings to go on", func() bool { return f.get(0)["polls"].(float64) > before+3 })
	if out := s.p.out.String(); !strings.Contains(out, "answers readers and changes nothing until there is room") {
		t.Errorf("it said\n%s", out)
	}
	s.p.signal(syscall.SIGTERM)
	if code := s.p.exit(); code != 0 {
		t.Errorf("SIGTERM ended it with %d:\n%s", code, s.p.out)
	}
	s.args = args
	s.start()
	s.power("n1", "power off")
	s.await("n1", power("power off"))
	if got := fmt.Sprint(f.commands(0)); got != "[power on power off]" {
		t.Errorf("commands %s", got)
	}
}

// TestAResultWaitsForRoom fills the disk while an operation is under way: its result is kept until there is room (S13).
func TestAResultWaitsForRoom(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	s := smallDisk(t, "400m", "--ipmi-min-command-interval", "0")
	s.enroll("n1", f.driverInfo(0))
	f.put(0, map[string]any{"lose_replies": true})
	s.power("n1", "power on")
	until(t, "the command", func() bool { return len(f.commands(0)) > 0 })
	filler := fill(t, s.p.inside(s.dir), 32<<20)
	until(t, "the disk to be low", func() bool { return s.metric("conductor_disk_low") == 1 })
	f.put(0, map[string]any{"lose_replies": false})
	until(t, "the result to be refused", func() bool { return strings.Contains(s.p.out.String(), "an outcome could not be stored") })
	if got := s.node("n1")["target_power_state"]; got != "power on" {
		t.Errorf("target %v, wanted the operation to be open", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.await("n1", power("power on"))
}
