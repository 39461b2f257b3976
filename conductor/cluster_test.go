// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ferrite/cluster"
	"ferrite/node"
	"ferrite/persistence"
)

// testTime is how long anything may take before a test gives up on it.
const testTime = 60 * time.Second

// oneOf is the settings of one of several conductors in this process.
func oneOf(t *testing.T, net *cluster.Network, name string, join ...string) Config {
	t.Helper()
	c := settings(t)
	c.Name, c.Key = name, bytes.Repeat([]byte{5}, KeySize)
	c.Cluster = &Cluster{Gossip: "127.0.0.1:0", Raft: "127.0.0.1:0", Remote: "127.0.0.1:0", Join: join, Expect: 1, Profile: "lan"}
	c.Cluster.Transport = func(string) (cluster.Transport, error) { return net.Listen(name) }
	return c
}

// several are so many conductors, of which the later ones join the first; change sets what is special to each, nil = nothing.
func several(t *testing.T, n int, change func(i int, c *Config)) (cs []*Conductor) {
	t.Helper()
	net := cluster.NewNetwork()
	var join []string
	for i := range n {
		c := oneOf(t, net, fmt.Sprintf("c%d", i+1), join...)
		if change != nil {
			change(i, &c)
		}
		cs = append(cs, start(t, c))
		join = []string{cs[0].membership.Addr()}
	}
	return cs
}

func three(t *testing.T) []*Conductor {
	t.Helper()
	cs := several(t, 3, nil)
	agree(t, cs...)
	return cs
}

// agree waits until each of these counts on all of them: who has just come is said to take nodes a moment after it is ready.
func agree(t *testing.T, cs ...*Conductor) {
	t.Helper()
	until(t, "all count on all", func() bool {
		for _, c := range cs {
			v := c.placement.view.Load()
			if len(v.Members) != len(cs) || slices.ContainsFunc(v.Members, func(m cluster.Member) bool { return !m.Takes("") }) {
				return false
			}
		}
		return true
	})
}

// views are the Views by which these conductors place nodes now.
func views(cs []*Conductor) (out []*cluster.View) {
	for _, c := range cs {
		out = append(out, c.placement.view.Load())
	}
	return out
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testTime); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// ask makes a request, once more while it is refused with 503: on a busy machine a conductor may be taken for dead for a moment,
// and clients are told to try again.
func ask(t *testing.T, c *Conductor, method, path, body string) (code int, text string) {
	t.Helper()
	for end, again := time.Now().Add(testTime), false; ; again = true {
		code, text = askOnce(t, c, method, path, body)
		switch {
		case code == http.StatusServiceUnavailable && time.Now().Before(end):
			time.Sleep(100 * time.Millisecond)
			continue
		case again && method == http.MethodPost && code == http.StatusConflict: // the first try was made after all
			return http.StatusCreated, text
		}
		return code, text
	}
}

func askOnce(t *testing.T, c *Conductor, method, path, body string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(method, c.APIURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
	q.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func owned(cs ...*Conductor) (total int) {
	for _, c := range cs {
		total += c.fleet.Len()
	}
	return total
}

func TestAnyConductorAnswersAnyRequest(t *testing.T) { // R1, S6
	cs := three(t)
	const nodes = 30
	for i := range nodes {
		if code, text := ask(t, cs[i%3], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	until(t, "each conductor has its share", func() bool {
		for _, c := range cs {
			if c.fleet.Len() == 0 {
				return false
			}
		}
		return owned(cs...) == nodes
	})
	for i := range nodes {
		if code, text := ask(t, cs[(i+1)%3], "PUT", fmt.Sprintf("/v1/nodes/n%d/states/power", i), `{"target":"power on"}`); code != 202 {
			t.Fatalf("%d %s", code, text)
		}
		// What was answered is visible on every other conductor (R1).
		if code, text := ask(t, cs[(i+2)%3], "GET", fmt.Sprintf("/v1/nodes/n%d?fields=target_power_state,power_state,conductor", i), ""); code != 200 || !strings.Contains(text, "power on") {
			t.Fatalf("%d %s", code, text)
		}
	}
	if _, err := cs[1].store.ReadIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	cs[1].store.Nodes(nil, func(n *node.Node) bool {
		names[n.Owner.Name] = true
		return true
	})
	if len(names) != 3 {
		t.Errorf("the nodes were written by %v, wanted all three", names)
	}
	// A refusal of the owner arrives as it is.
	code, text := ask(t, cs[0], "POST", "/v1/nodes", `{"name":"n7","driver":"fake-hardware"}`)
	if code != 409 || !strings.Contains(text, "A node with name n7 already exists") {
		t.Errorf("a taken name: %d %s", code, text)
	}
}

func TestAConductorThatEndsHandsOver(t *testing.T) {
	cs := three(t)
	const nodes = 20
	for i := range nodes {
		if code, text := ask(t, cs[0], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	until(t, "all nodes are active", func() bool { return owned(cs...) == nodes })
	stop(t, cs[0]) // it leads the log, too
	until(t, "the others have all nodes", func() bool { return owned(cs[1:]...) == nodes })
	for i := range nodes {
		if code, text := ask(t, cs[1+i%2], "PATCH", fmt.Sprintf("/v1/nodes/n%d", i), `[{"op":"add","path":"/extra/a","value":1}]`); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	}
	until(t, "it alone is said to be dead", func() bool {
		code, text := ask(t, cs[1], "GET", "/v1/conductors", "")
		return code == 200 && strings.Count(text, `"alive":true`) == 2 && strings.Count(text, `"alive":false`) == 1
	})
}

// A subscriber at any conductor hears of what happens at all of them, once.
func TestOneBus(t *testing.T) { // N2
	cs := three(t)
	heard := make(chan *nats.Msg, 1000)
	conn, err := nats.Connect(cs[2].NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ChanSubscribe("ironic_versioned_notifications.>", heard); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	term := func() uint64 { return cs[0].store.(*persistence.Raft).LogFigures().Term }
	first := term()
	ids := map[string]int{}
	created := map[string]bool{}
	read := func(m *nats.Msg) {
		ids[m.Header.Get("Nats-Msg-Id")]++
		var e struct {
			Event   string `json:"event_type"`
			Payload struct {
				Data struct{ Name string } `json:"ironic_object.data"`
			}
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "baremetal.node.create.end" {
			created[e.Payload.Data.Name] = true
		}
	}
	for i := 0; ; i++ { // interest in a subject travels to the other servers a moment later
		if code, text := ask(t, cs[i%2], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
		select {
		case m := <-heard:
			read(m)
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	for i := range 10 {
		if code, text := ask(t, cs[i%3], "POST", "/v1/nodes", fmt.Sprintf(`{"name":"m%d","driver":"fake-hardware"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	end := time.After(testTime)
	for missing := true; missing; {
		missing = false
		for i := range 10 {
			missing = missing || !created[fmt.Sprintf("m%d", i)]
		}
		if !missing {
			break
		}
		select {
		case m := <-heard:
			read(m)
		case <-end:
			t.Fatalf("heard of %v only", created)
		}
	}
	for id, n := range ids { // who leads next sends again what is not known to have been sent: on a busy machine a leader may be missed
		if n != 1 && term() == first || id == "" {
			t.Errorf("message %q came %d times", id, n)
		}
	}
	until(t, "one publishes, and none says that NATS is away", func() bool {
		publishers, up := 0, 0
		for _, c := range cs {
			_, text := get(t, c.APIURL()+"/metrics")
			publishers += strings.Count(text, "\nconductor_notify_publisher 1\n")
			up += strings.Count(text, "\nconductor_notify_up 1\n")
		}
		return publishers == 1 && up == len(cs)
	})
}

// A PATCH of what places a node is made by its new owner (S6).
func TestAPatchOfThePlaceIsMadeByTheNewOwner(t *testing.T) {
	cs := three(t)
	by := map[string]*Conductor{"c1": cs[0], "c2": cs[1], "c3": cs[2]}
	if code, text := ask(t, cs[0], "POST", "/v1/nodes", `{"name":"n","driver":"ipmi","driver_info":{"ipmi_address":"192.0.2.1","ipmi_username":"u","ipmi_password":"p"}}`); code != 201 {
		t.Fatalf("%d %s", code, text)
	}
	wrote := map[string]bool{}
	for i, seen := 0, 0; seen < 6; i++ {
		if i == 100 {
			t.Fatalf("the Views changed during all of %d changes but %d", i, seen)
		}
		before := views(cs)
		at := fmt.Sprintf("192.0.2.%d", 10+i)
		if code, text := ask(t, cs[i%3], "PATCH", "/v1/nodes/n", `[{"op":"replace","path":"/driver_info/ipmi_address","value":"`+at+`"}]`); code != 200 {
			t.Fatalf("%d %s", code, text)
		}
		if _, err := cs[0].store.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n *node.Node
		cs[0].store.Nodes(nil, func(x *node.Node) bool { n = x; return true })
		owner := cs[0].placement.owner(n)
		if !slices.Equal(before, views(cs)) { // on a busy machine one may be taken for dead for a moment
			continue
		}
		seen++
		if n.Owner.Name != owner {
			t.Errorf("at %s it was written by %s, its owner is %s", at, n.Owner.Name, owner)
		}
		wrote[n.Owner.Name] = true
		until(t, "its owner has it", func() bool { return by[cs[0].placement.owner(n)].fleet.Len() == 1 && owned(cs...) == 1 })
	}
	if len(wrote) < 2 {
		t.Errorf("all six places are %v's: the test shows nothing", wrote)
	}
}

func TestSettingsMustAgree(t *testing.T) { // L4
	net := cluster.NewNetwork()
	told := &lines{}
	first := oneOf(t, net, "c1")
	first.Logger = slog.New(slog.NewTextHandler(told, nil))
	c1 := start(t, first)
	cfg := oneOf(t, net, "c2", c1.membership.Addr())
	cfg.Policy.HardwareTypes = []string{"fake-hardware"}
	c, err := Start(context.Background(), cfg)
	if err == nil {
		stop(t, c)
	}
	if err == nil || !strings.Contains(err.Error(), "enabled_hardware_types is [fake-hardware ipmi] there and [fake-hardware] here") {
		t.Errorf("a conductor with other settings: %v", err)
	}
	if n := told.count("its settings differ"); n != 1 {
		t.Errorf("the member told of it %d times", n)
	}
	for _, m := range c1.store.(*persistence.Raft).Members(context.Background()) {
		if m.Name != "c1" {
			t.Errorf("%s has stayed in the log", m.Name)
		}
	}
}

// lines are what conductors log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// has reports whether a line holds all words.
func (l *lines) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// A data folder of another cluster under the same key: refused at its start, and nobody is harmed.
func TestAForeignFolderIsRefused(t *testing.T) { // L4
	net := cluster.NewNetwork()
	foreign := oneOf(t, net, "c2")
	stop(t, start(t, foreign)) // a cluster of its own
	told := &lines{}
	first := oneOf(t, net, "c1")
	first.Logger = slog.New(slog.NewTextHandler(told, nil))
	c1 := start(t, first)
	foreign.Cluster.Join = []string{c1.membership.Addr()}
	c, err := Start(context.Background(), foreign)
	if err == nil {
		stop(t, c)
	}
	if err == nil || !strings.Contains(err.Error(), "start with an empty folder to join that one") {
		t.Errorf("a foreign folder: %v", err)
	}
	until(t, "the member tells of it", func() bool { return told.count("a conductor of another cluster gossips here") == 1 })
	if code, text := ask(t, c1, "POST", "/v1/nodes", `{"driver":"fake-hardware"}`); code != 201 {
		t.Errorf("%d %s", code, text)
	}
}

// Who begins a log says so before its disk has written it: another one, whose name comes before its own and who comes a moment
// later, would begin a second one.
func TestWhoBeginsALogSaysSoFirst(t *testing.T) {
	cfg := oneOf(t, cluster.NewNetwork(), "c1")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := &Conductor{cfg: cfg, log: slog.New(slog.DiscardHandler), incarnation: 1, listener: ln}
	log, err := c.gossip(t.Context(), [][]byte{cfg.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Listener.Close()
	defer func() { _ = c.unwind(context.Background()) }()
	if begin := log.Bootstrap; !begin || c.membership.Self().Fresh {
		t.Errorf("it begins a log (%v) and says that it has none yet (%v), wanted true and false", begin, c.membership.Self().Fresh)
	}
}

func TestWhoTakesNodes(t *testing.T) { // S4
	self := cluster.Member{Name: "c1", Draining: true}
	for what, row := range map[string]struct {
		other cluster.Member
		want  bool
	}{
		"one like it":        {cluster.Member{Name: "c2"}, true},
		"another group":      {cluster.Member{Name: "c2", Group: "rack7"}, false},
		"draining":           {cluster.Member{Name: "c2", Draining: true}, false},
		"cordoned":           {cluster.Member{Name: "c2", Cordoned: true}, false},
		"without the leader": {cluster.Member{Name: "c2", Cut: true}, false},
		"starting":           {cluster.Member{Name: "c2", Joining: true}, false},
	} {
		if got := takers(cluster.NewView(1, []cluster.Member{self, row.other}), "c1"); got != row.want {
			t.Errorf("%s: it takes nodes: %v, wanted %v", what, got, row.want)
		}
	}
}
