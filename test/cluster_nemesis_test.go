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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// size is how large and long a nemesis run is.
type size struct {
	conductors, machines, registers int
	acts                            int           // at least so many faults
	least                           time.Duration // and for so long
	pause                           time.Duration // longest pause, outage or partition
}

func sizes() []size {
	if os.Getenv("FERRITE_LONG") == "" {
		return []size{{conductors: 3, machines: 200, registers: 4, acts: 7, pause: 5 * time.Second}}
	}
	return []size{
		{conductors: 3, machines: 2000, registers: 8, acts: 30, least: 10 * time.Minute, pause: 20 * time.Second},
		{conductors: 5, machines: 2000, registers: 8, acts: 30, least: 10 * time.Minute, pause: 20 * time.Second},
	}
}

// nemesis harms conductors, one or two at a time, in an order that its seed gives.
type nemesis struct {
	*ensemble
	lan  *lan
	rnd  *rand.Rand
	size size
	done map[string]int
}

// TestClusterNemesis lets clients read, write and switch machines while conductors are killed, paused, ended and cut off.
// Afterwards nothing that was acknowledged is lost, reads and writes have one order, no two conductors have commanded one
// machine at a time, nothing was done twice, all was told, and nothing is stuck (S1, S3, S9, S10, S11, S12, R1, R3, L2, N2).
// It is not part of "make test": what it finds depends on its seed and on the machine.
func TestClusterNemesis(t *testing.T) {
	switch {
	case os.Getenv("FERRITE_LONG") != "":
	case os.Getenv("NEMESIS") != "":
		t.Parallel()
	default:
		t.Skip("two minutes of random trouble: make chaos-short, or half an hour of it: make chaos")
	}
	if inOwnNet(t) {
		return
	}
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any
	if text := os.Getenv("NEMESIS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("NEMESIS_SEED: %v", err)
		}
	}
	t.Logf("seed %d; run again with NEMESIS_SEED=%d", seed, seed)
	l := newLAN(t, 5)
	for _, s := range sizes() {
		t.Run(fmt.Sprintf("%d conductors", s.conductors), func(t *testing.T) { soak(t, s, l, seed) })
	}
}

func soak(t *testing.T, s size, l *lan, seed uint64) {
	hosts, here := []string{}, "127.0.0.1"
	for i := range s.conductors {
		hosts = append(hosts, here)
		if l != nil {
			hosts[i] = l.hosts[i]
		}
	}
	if l != nil {
		here = lanHere
	}
	bus := newStream(t, here)
	e := preparedAt(t, hosts, "--nats-url", bus.url, "--nats-jetstream", "--sync-power-state-interval", "3s", "--automated-clean=false")
	e.http.Timeout = 8 * time.Second
	for i, x := range e.all {
		if l != nil {
			x.in = l.inside(i)
		}
	}
	e.startAll()
	n := &nemesis{ensemble: e, lan: l, rnd: rand.New(rand.NewPCG(seed, uint64(s.conductors))), size: s, done: map[string]int{}} //nolint:gosec // a test
	o := &operators{e: e, farm: newFarm(t, s.machines)}
	o.enroll(s.machines)
	var regs []*register
	for i := range s.registers {
		name := fmt.Sprintf("r%d", i)
		e.must(http.StatusCreated, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name})
		regs = append(regs, &register{e: e, node: name})
	}

	stop := make(chan struct{})
	var users sync.WaitGroup
	each := func(pause time.Duration, do func(turn int)) {
		users.Go(func() {
			for turn := 0; ; turn++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.Int64N(int64(pause)))):
				}
				do(turn)
			}
		})
	}
	for _, r := range regs {
		for c := range 4 {
			each(150*time.Millisecond, func(int) { r.touch(c, c%2 == 0) })
		}
	}
	const hands = 12
	for h := range hands {
		mine := []*machine{}
		for _, m := range o.all[:min(len(o.all), 20*hands)] { // enough commands for each
			if m.i%hands == h {
				mine = append(mine, m)
			}
		}
		each(100*time.Millisecond, func(turn int) { o.operate(mine[turn%len(mine)], stop) })
	}
	n.rage()
	close(stop)
	users.Wait()
	e.whole()
	for _, r := range regs { // what every conductor says in the end belongs to the history
		for range 4 * s.conductors {
			r.touch(9, false)
		}
	}

	o.check()
	for _, r := range regs {
		r.check(t)
	}
	until(t, "every node to be active at one conductor", func() bool {
		active := 0
		for _, x := range e.all {
			_, doc, _, err := e.do(x, "GET", "/v1/x/cluster", nil, nil)
			h, _ := doc["here"].(map[string]any)
			a, _ := h["active"].(float64)
			if err != nil || h["operations"] != 0.0 {
				return false
			}
			active += int(a)
		}
		return active == s.machines+s.registers
	})
	bus.compare(e)
	for _, x := range e.all {
		if !x.runs() {
			t.Errorf("%s is not there any more:\n%s", x.name(), x.p.out)
		}
		if strings.Contains(x.p.out.String(), "panic") || strings.Contains(x.p.out.String(), "fatal error") {
			t.Errorf("%s panicked", x.name())
		}
	}
	t.Logf("faults: %v", n.done)
}

// rage harms until there was enough of it; in between all is well for a moment, or not quite.
func (n *nemesis) rage() {
	kinds := []string{"kill", "pause", "end", "kill the leader", "two at once", "part", "unplug"}
	if n.lan == nil {
		kinds = kinds[:5]
	}
	end := time.Now().Add(n.size.least)
	for i := 0; i < n.size.acts || time.Now().Before(end); i++ {
		kind := kinds[i%len(kinds)] // each in turn, the first time; then as it comes
		if i >= len(kinds) {
			kind = kinds[n.rnd.IntN(len(kinds))]
		}
		v := n.rnd.IntN(len(n.all))
		s := n.all[v]
		outage := 500*time.Millisecond + time.Duration(n.rnd.Int64N(int64(n.size.pause)))
		n.t.Logf("%s: %s %s for %s", time.Now().UTC().Format("15:04:05.000"), kind, s.name(), outage.Round(time.Millisecond))
		n.done[kind]++
		n.alive()
		switch kind {
		case "kill":
			s.p.kill()
			time.Sleep(outage)
		case "kill the leader":
			n.leader().p.kill()
			time.Sleep(outage)
		case "two at once":
			s.p.kill()
			n.all[(v+1)%len(n.all)].p.kill()
			time.Sleep(outage)
		case "end":
			s.ends()
		case "pause":
			s.p.signal(syscall.SIGSTOP)
			time.Sleep(outage)
			s.p.signal(syscall.SIGCONT)
		case "part":
			both := n.rnd.IntN(2) == 0
			n.lan.part(v, both, true)
			time.Sleep(outage)
			n.lan.part(v, both, false)
		case "unplug":
			n.lan.unplug(v, true)
			time.Sleep(outage)
			n.lan.unplug(v, false)
		}
		for _, s := range n.all {
			if !s.runs() {
				s.launch()
			}
		}
		if n.rnd.IntN(3) > 0 { // else the next blow falls on a cluster that is not whole yet
			n.whole()
		}
		time.Sleep(time.Duration(n.rnd.Int64N(int64(time.Second))))
	}
	n.whole()
}

// alive: nobody ends by itself.
func (n *nemesis) alive() {
	for _, s := range n.all {
		if !s.runs() {
			n.t.Errorf("%s ended by itself:\n%s", s.name(), s.p.out)
			s.launch()
		}
	}
}

// stream is a durable subscriber: a NATS server that keeps everything.
type stream struct {
	t   *testing.T
	url string
	in  jetstream.Stream
}

func newStream(t *testing.T, host string) *stream {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: host, Port: freePort(t, "tcp"), JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	in, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ironic", Subjects: []string{"ironic_versioned_notifications.>"}})
	if err != nil {
		t.Fatal(err)
	}
	return &stream{t: t, url: s.ClientURL(), in: in}
}

// compare holds what the stream keeps against what was committed: each once, in the order of the commits (N2).
func (b *stream) compare(e *ensemble) {
	t := b.t
	t.Helper()
	out, err := exec.Command(binary, "notifications", "replay", "--from", "oldest", "-o", "json", "--api-url", e.all[0].api).Output() //nolint:gosec // the binary under test
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	var committed []string
	for line := range strings.Lines(string(out)) {
		var m struct {
			ID string `json:"message_id"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.ID == "" {
			t.Fatalf("replay: %v in %s", err, line)
		}
		committed = append(committed, m.ID)
	}
	until(t, fmt.Sprintf("%d notifications in the stream", len(committed)), func() bool {
		info, err := b.in.Info(t.Context())
		return err == nil && info.State.Msgs >= uint64(len(committed))
	})
	info, err := b.in.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.in.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	seen := map[string]int{}
	var newest [2]uint64
	for range info.State.Msgs {
		m, err := messages.Next()
		if err != nil {
			t.Fatal(err)
		}
		var at [2]uint64
		_, _ = fmt.Sscanf(m.Headers().Get("Ferrite-Rev"), "%d.%d", &at[0], &at[1])
		if at[0] < newest[0] || at[0] == newest[0] && at[1] <= newest[1] {
			t.Errorf("notification %v came after %v", at, newest)
		}
		newest = at
		seen[m.Headers().Get(nats.MsgIdHdr)]++
	}
	missing, twice := 0, 0
	for _, id := range committed {
		if seen[id] == 0 {
			missing++
		}
	}
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d notifications were committed, the stream has %d", len(committed), len(seen))
	if missing > 0 || twice > 0 {
		t.Errorf("%d committed notifications are missing in the stream, %d are there more than once", missing, twice)
	}
}
