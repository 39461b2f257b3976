// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ferrite/notify/embedded"
)

// client changes one node again and again; what it knows is what a client knows.
type client struct {
	name  string
	asked atomic.Int64 // the newest value that was sent
	acked atomic.Int64 // the newest value that was answered by 200
	made  atomic.Bool  // the creation was answered by 201
}

const clients = 64

// durability is a conductor under 64 writers that dies again and again.
type durability struct {
	*site
	heard *heard
	all   []*client
}

func newDurability(t *testing.T, s *site, bus *embedded.Server) *durability {
	t.Helper()
	s.args = append(s.args, "--nats-url", bus.ClientURL())
	s.nats = strings.TrimPrefix(bus.ClientURL(), "nats://")
	d := &durability{site: s, heard: s.listen()}
	for i := range clients {
		d.all = append(d.all, &client{name: fmt.Sprintf("w%02d", i)})
	}
	s.start()
	return d
}

// write runs one writer until the conductor is gone or stop is closed.
func (d *durability) write(w *client, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if !w.made.Load() {
			code, _, err := d.try("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": w.name})
			if err != nil {
				return
			}
			if code == http.StatusCreated || code == http.StatusConflict { // made by a request whose answer was lost
				w.made.Store(true)
			}
			continue
		}
		v := w.asked.Add(1)
		code, _, err := d.try("PATCH", "/v1/nodes/"+w.name, []map[string]any{
			{"op": "add", "path": "/extra/value", "value": v}, {"op": "add", "path": "/description", "value": fmt.Sprint(v)},
		})
		if err != nil {
			return
		}
		if code == http.StatusOK {
			w.acked.Store(v)
		}
	}
}

// round lets all write until a random number of changes is acknowledged, and then lets the conductor die.
func (d *durability) round(die func()) {
	d.t.Helper()
	total := func() (n int64) {
		for _, w := range d.all {
			n += w.acked.Load()
		}
		return n
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	enough := total() + 1000 + rand.Int64N(2000)
	for _, w := range d.all {
		all.Go(func() { d.write(w, stop) })
	}
	until(d.t, "changes", func() bool { return total() >= enough })
	die()
	<-d.p.done
	close(stop)
	all.Wait()
	d.start()
	for _, w := range d.all {
		d.check(w)
	}
}

// check compares what is stored with what a client knows.
func (d *durability) check(w *client) {
	d.t.Helper()
	if !w.made.Load() {
		return
	}
	code, n := d.call("GET", "/v1/nodes/"+w.name, nil)
	if code != http.StatusOK {
		d.t.Errorf("acknowledged node %s is lost: %d", w.name, code)
		return
	}
	extra, _ := n["extra"].(map[string]any)
	value, _ := extra["value"].(float64)
	text, _ := n["description"].(string)
	if text == "" {
		text = "0"
	}
	if text != fmt.Sprint(int64(value)) {
		d.t.Errorf("half of a change of %s is there: extra says %v, description %q", w.name, value, text)
	}
	if int64(value) < w.acked.Load() || int64(value) > w.asked.Load() {
		d.t.Errorf("%s has %v: acknowledged was %d, asked for %d", w.name, value, w.acked.Load(), w.asked.Load())
	}
	w.acked.Store(int64(value)) // known from now on
}

// told checks the events: every acknowledged change of every node was told, once and in order.
func (d *durability) told() {
	t := d.t
	t.Helper()
	last, seen := map[string]int64{}, map[string]bool{}
	newest, read := [2]uint64{}, 0
	pending := func() string {
		d.heard.mu.Lock()
		all := d.heard.all
		d.heard.mu.Unlock()
		for ; read < len(all); read++ {
			m := all[read]
			var at [2]uint64
			place := m.Header.Get("Ferrite-Rev")
			if _, err := fmt.Sscanf(place, "%d.%d", &at[0], &at[1]); err != nil {
				t.Fatalf("Ferrite-Rev %q: %v", place, err)
			}
			if seen[place] {
				continue
			}
			if at[0] < newest[0] || at[0] == newest[0] && at[1] < newest[1] {
				t.Fatalf("%s was told for the first time after %v", place, newest)
			}
			seen[place], newest = true, at
			if !strings.HasSuffix(m.Subject, ".node.update.end") {
				continue
			}
			var doc struct {
				Payload struct {
					Data struct {
						Name  string         `json:"name"`
						Extra map[string]any `json:"extra"`
					} `json:"ironic_object.data"`
				} `json:"payload"`
			}
			if err := json.Unmarshal(m.Data, &doc); err != nil {
				t.Fatal(err)
			}
			v, _ := doc.Payload.Data.Extra["value"].(float64)
			name := doc.Payload.Data.Name
			if int64(v) <= last[name] {
				t.Fatalf("value %v of %s was told after %d", v, name, last[name])
			}
			last[name] = int64(v)
		}
		for _, w := range d.all {
			if last[w.name] != w.acked.Load() {
				return fmt.Sprintf("%s: told up to %d, stored %d", w.name, last[w.name], w.acked.Load())
			}
		}
		return ""
	}
	what := ""
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if what = pending(); what == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("events are missing: %s", what)
		}
	}
}

func rounds() int {
	if os.Getenv("FERRITE_LONG") != "" {
		return 30
	}
	return 5
}

// TestDurabilityUnderKill9 kills the process under 64 writers, round after round (L1, L2, N1, N2).
func TestDurabilityUnderKill9(t *testing.T) {
	bus, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Shutdown)
	s := &site{t: t, dir: t.TempDir(), api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp"))}
	d := newDurability(t, s, bus)
	for range rounds() {
		d.round(func() { d.p.signal(syscall.SIGKILL) })
	}
	d.told()
}

// TestDurabilityUnderPowerCut is the same with a disk that loses at once what was not yet flushed to it.
func TestDurabilityUnderPowerCut(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("sh", "-c", "truncate -s 4G "+image+" && mkfs.ext4 -q "+image+" && unshare -m sh -c 'mkdir "+image+".at && mount -o loop "+image+" "+image+".at'").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a power cut needs root, ext4 and loop devices: %v %s", err, out)
	}
	bus, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Shutdown)
	d := newDurability(t, ownDisk(t, "mount -o loop "+image), bus)
	for range rounds() {
		d.round(func() {
			cut(t, d.p.inside(d.dir))
			d.p.signal(syscall.SIGKILL)
		})
	}
	d.told()
}

// cut ends a file system at once, without writing back anything (EXT4_IOC_SHUTDOWN with NOLOGFLUSH).
func cut(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const shutdown, noLogFlush = 0x8004587d, uint32(2)
	flags := noLogFlush
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); e != 0 {
		t.Fatalf("cutting %s off: %v", dir, e)
	}
}
