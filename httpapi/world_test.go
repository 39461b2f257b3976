// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp/fasthttputil"

	"ferrite/httpapi"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// owner stands for every node's actor: it steps, commits to a store in memory and lets each effect succeed at once.
type owner struct {
	mu     sync.Mutex
	store  *persistence.Memory
	policy node.Policy
	open   bool                                             // effects stay under way
	before func(uuid string, m node.Msg) (any, error, bool) // true: answered already
	heard  func(node.Meta)                                  // nil = nobody
	asked  []node.Msg
}

func (o *owner) Do(_ context.Context, id string, meta node.Meta, m node.Msg) (any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, m)
	if o.heard != nil {
		o.heard(meta)
	}
	if o.before != nil {
		if reply, err, done := o.before(id, m); done {
			return reply, err
		}
	}
	switch m.(type) {
	case inventory.CreatePort, inventory.UpdatePort, inventory.DeletePort:
		return o.port(id, meta, m)
	case node.GetBootDevice:
		return node.BootDevice{Device: "pxe", Known: true}, nil
	}
	return o.step(id, meta, m)
}

func (o *owner) env(meta node.Meta) node.Env {
	return node.Env{
		Now: time.Now().UTC(), Self: node.Owner{Name: "cond-a", Incarnation: 1}, ID: uuid.NewString(), Meta: meta, Policy: o.policy,
		Facts: node.Facts{PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftPowerOff, node.SoftRebooting}, BootDevices: []string{"pxe"}},
	}
}

func (o *owner) step(id string, meta node.Meta, m node.Msg) (any, error) {
	n, _ := o.store.Node(id)
	d, err := node.Step(o.env(meta), n, m)
	if err != nil || d.Node == nil {
		return d.Reply, err
	}
	key := persistence.Key{Kind: persistence.KindNode, ID: id}
	tx := persistence.Tx{If: []persistence.Cond{{Key: key}}}
	if n != nil {
		tx.If[0].Rev = n.Rev
	}
	var uniq []string
	if d.Node.Name != "" {
		uniq = append(uniq, "name/"+d.Node.Name)
	}
	if d.Node.InstanceUUID != "" {
		uniq = append(uniq, "instance/"+d.Node.InstanceUUID)
	}
	if d.Delete {
		tx.Del = []persistence.Key{key}
	} else {
		tx.Put = []persistence.Put{{Key: key, Value: d.Node, Uniq: uniq}}
	}
	for _, h := range d.History {
		tx.Put = append(tx.Put, persistence.Put{Key: persistence.Key{Kind: persistence.KindHistory, ID: id + "/" + h.CreatedAt.Format(time.RFC3339Nano) + h.UUID}, Value: &h})
	}
	if _, err := o.store.Commit(context.Background(), tx); err != nil {
		return nil, taken(m, err)
	}
	for _, e := range d.Effects {
		if o.open && e.Kind != node.HoldOff {
			break
		}
		done := node.Done{Op: e.Op, Phase: e.Phase, State: e.Want}
		if e.Kind == node.Verify {
			done.State = node.PowerOff
		}
		if _, err := o.step(id, meta, done); err != nil {
			return nil, err
		}
	}
	return d.Reply, nil
}

func (o *owner) port(id string, meta node.Meta, m node.Msg) (any, error) {
	n, ok := o.store.Node(id)
	if !ok {
		return nil, &node.Error{Kind: node.NotFound, Text: "Node " + id + " could not be found."}
	}
	var old *inventory.Port
	switch m := m.(type) {
	case inventory.UpdatePort:
		old, _ = o.store.Port(m.Want.UUID)
	case inventory.DeletePort:
		old, _ = o.store.Port(m.UUID)
	}
	d, err := inventory.Step(o.env(meta), n, old, m)
	if err != nil || d.Port == nil {
		return d.Reply, err
	}
	key := persistence.Key{Kind: persistence.KindPort, ID: d.Port.UUID}
	tx := persistence.Tx{If: []persistence.Cond{{Key: key}}}
	if old != nil {
		tx.If[0].Rev = old.Rev
	}
	if d.Delete {
		tx.Del = []persistence.Key{key}
	} else {
		u := []string{"mac/" + d.Port.Address}
		if d.Port.Name != "" {
			u = append(u, "portname/"+d.Port.Name)
		}
		tx.Put = []persistence.Put{{Key: key, Value: d.Port, Uniq: u}}
	}
	if _, err := o.store.Commit(context.Background(), tx); err != nil {
		return nil, taken(m, err)
	}
	return d.Reply, nil
}

func taken(m node.Msg, err error) error {
	var t *persistence.NotUnique
	if errors.As(err, &t) {
		return &node.Error{Op: m.MsgName(), Kind: node.Exists, Text: "already exists: " + t.Uniq}
	}
	return err
}

// hardware is a driver catalogue without drivers.
type hardware struct{}

func (hardware) Types() []node.HardwareType   { return node.HardwareTypes }
func (hardware) Enabled() map[string][]string { return node.EnabledInterfaces() }
func (hardware) Defaults() map[string]string  { return map[string]string{} }
func (hardware) Validate(*node.Node) map[string]node.Validity {
	out := map[string]node.Validity{}
	for _, k := range node.InterfaceKinds {
		out[k] = node.Validity{OK: true}
	}
	out["console"] = node.Validity{Reason: "text"}
	delete(out, "rescue")
	return out
}

func (hardware) BootDevices(n *node.Node) ([]string, error) {
	if n.Driver == "ipmi" {
		return []string{"pxe", "disk", "cdrom", "bios", "safe"}, nil
	}
	return []string{"pxe"}, nil
}

func (hardware) Properties(driver string) (map[string]string, bool) {
	if driver != "ipmi" {
		return nil, false
	}
	return map[string]string{"ipmi_address": "IP address or hostname of the node. Required."}, true
}

// members is a cluster of one, cond-a, and a dead one.
type members struct{}

func (members) Conductors() []httpapi.Conductor {
	at := time.Date(2026, 3, 2, 8, 15, 30, 120450000, time.UTC)
	return []httpapi.Conductor{
		{Hostname: "cond-b", Drivers: []string{"ipmi"}, CreatedAt: at, UpdatedAt: at.Add(time.Hour)},
		{Hostname: "cond-a", Alive: true, Drivers: []string{"fake-hardware", "ipmi"}, CreatedAt: at, UpdatedAt: at.Add(time.Hour)},
	}
}
func (members) OwnerOf(*node.Node) string { return "cond-a" }
func (members) Served(*node.Node) error   { return nil }
func (members) Self() string              { return "cond-a" }

// ready is a health that tests can spoil.
type ready struct{ err error }

func (r *ready) Ready() error { return r.err }
func (*ready) Ails() string   { return "" }

// world is a running API over a store in memory.
type world struct {
	t     testing.TB
	store *persistence.Memory
	owner *owner
	api   *httpapi.Server
	audit *bytes.Buffer
	ln    *fasthttputil.InmemoryListener
	http  *http.Client
	minor string // version header, "" = none
}

func newWorld(t testing.TB, change ...func(*httpapi.Config)) *world {
	t.Helper()
	w := &world{t: t, store: persistence.NewMemory(persistence.MemoryOptions{}), audit: &bytes.Buffer{}, minor: "1.115"}
	w.owner = &owner{store: w.store, policy: node.DefaultPolicy()}
	cfg := httpapi.Config{
		Commands: w.owner, Reader: w.store, Hardware: hardware{}, Members: members{},
		Logger: slog.New(slog.DiscardHandler), Audit: slog.New(slog.NewJSONHandler(w.audit, nil)),
		ReadWait: 5 * time.Second, // the store in memory confirms at once, or refuses at once
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if w.api, err = httpapi.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.ln = fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- w.api.Serve(w.ln) }()
	w.http = &http.Client{
		Transport:     &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return w.ln.Dial() }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.api.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// answer is a reply of the API.
type answer struct {
	*http.Response
	text string
	body any
}

// do sends a request; headers are "Name: value".
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://h:6385"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.minor != "" {
		req.Header.Set("X-OpenStack-Ironic-API-Version", w.minor)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := answer{Response: resp, text: string(data)}
	if len(data) > 0 && resp.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(data, &a.body); err != nil {
			w.t.Fatalf("%s %s: body is not JSON: %v\n%s", method, path, err, data)
		}
	}
	return a
}

// raw sends bytes as they are and gives the reply.
func (w *world) raw(request string) answer {
	w.t.Helper()
	c, err := w.ln.Dial()
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = io.WriteString(c, request) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return answer{Response: resp, text: string(data)}
}

// want sends a request and fails unless the status is as wanted.
func (w *world) want(status int, method, path, body string, headers ...string) answer {
	w.t.Helper()
	a := w.do(method, path, body, headers...)
	if a.StatusCode != status {
		w.t.Fatalf("%s %s %s: status %d, wanted %d: %s", method, path, body, a.StatusCode, status, a.text)
	}
	return a
}

// at is the world at another microversion.
func (w *world) at(minor string) *world { c := *w; c.minor = minor; return &c }

func (a answer) object() map[string]any { m, _ := a.body.(map[string]any); return m }

func (a answer) get(key string) any { return a.object()[key] }

func (a answer) list(key string) []any { l, _ := a.get(key).([]any); return l }

// fault is the inner object of error forms A and B.
func (a answer) fault(t testing.TB) map[string]any {
	t.Helper()
	text, ok := a.get("error_message").(string)
	if !ok {
		t.Fatalf("error_message is no string: %s", a.text)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("error_message is no JSON: %s", text)
	}
	return m
}

// create makes a node and gives its UUID.
func (w *world) create(body string) string {
	w.t.Helper()
	id, _ := w.want(201, "POST", "/v1/nodes", body).get("uuid").(string)
	return id
}
