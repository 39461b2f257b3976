// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferrite/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStack is Nova and Keystone in one HTTP server.
type openStack struct {
	*httptest.Server
	mu      sync.Mutex // guards the fields below
	calls   []call
	tokens  int // given out; their names are token-1, token-2 ...
	valid   string
	life    time.Duration
	answers []func(http.ResponseWriter) // of the next requests to Nova; none = taken
	logins  []func(http.ResponseWriter) // of the next requests to Keystone
	login   string                      // the last login's body
}

// call is one request that reached Nova.
type call struct {
	head   http.Header
	path   string
	events []event
}

func newOpenStack(t *testing.T) *openStack {
	o := &openStack{life: time.Hour}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	return o
}

func (o *openStack) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/identity/v3/auth/tokens" {
		o.login = string(body)
		if len(o.logins) > 0 {
			o.logins[0](w)
			o.logins = o.logins[1:]
			return
		}
		o.tokens++
		o.valid = fmt.Sprintf("token-%d", o.tokens)
		w.Header().Set("X-Subject-Token", o.valid)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token": {"expires_at": %q, "catalog": [
			{"type": "identity", "endpoints": [{"interface": "internal", "region_id": "one", "url": "http://127.0.0.1:1"}]},
			{"type": "compute", "endpoints": [{"interface": "public", "region_id": "one", "url": "%[2]s/public/v2.1"},
				{"interface": "internal", "region_id": "two", "url": "%[2]s/two/v2.1"}, {"interface": "internal", "region_id": "one", "url": "%[2]s/internal/v2.1"}]}]}}`,
			time.Now().Add(o.life).UTC().Format("2006-01-02T15:04:05.000000Z"), o.URL)
		return
	}
	var in struct{ Events []event }
	_ = json.Unmarshal(body, &in)
	o.calls = append(o.calls, call{r.Header, r.URL.Path, in.Events})
	if o.valid != "" && r.Header.Get("X-Auth-Token") != o.valid {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if len(o.answers) > 0 {
		answer := o.answers[0]
		o.answers = o.answers[1:]
		answer(w)
		return
	}
	accept(w, in.Events)
}

func accept(w http.ResponseWriter, events []event) {
	var out []map[string]any
	for _, e := range events {
		out = append(out, map[string]any{"name": e.Name, "server_uuid": e.Server, "tag": e.Tag, "code": 200, "status": "completed"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"events": out})
}

func status(code int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code); _, _ = io.WriteString(w, body) }
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (o *openStack) heard() []call { o.mu.Lock(); defer o.mu.Unlock(); return o.calls }

// caller is a Caller that does not wait between tries.
func caller(t *testing.T, cfg Config) *Caller {
	t.Helper()
	cfg.Pause = func(int) time.Duration { return 0 }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Reset)
	return c
}

func (o *openStack) open() Config { return Config{Auth: None, Endpoint: o.URL + "/v2.1/"} }

func (o *openStack) keystone() Config {
	return Config{Auth: Password, AuthURL: o.URL + "/identity", User: "ironic", Password: "pass word", Project: "service", UserDomain: "Users"}
}

// say publishes records "server tag request" and confirms them.
func say(t *testing.T, c *Caller, records ...string) {
	t.Helper()
	for i, r := range records {
		f := strings.Fields(r + " - -")
		body, _ := json.Marshal(record{Server: f[0], Tag: f[1], Request: strings.Trim(f[2], "-")})
		if err := c.Publish(t.Context(), notify.Packet{Subject: Subject, ID: fmt.Sprintf("id-%d", i), Node: "n1", Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRequest(t *testing.T) { // spec power.md section 9, Request
	o := newOpenStack(t)
	c := caller(t, o.open())
	say(t, c, "s1 POWER_ON req-7")
	say(t, c, "s1 POWER_OFF")
	say(t, c)
	got := o.heard()
	if len(got) != 2 {
		t.Fatalf("%d calls", len(got))
	}
	if got[0].path != "/v2.1/os-server-external-events" || len(got[0].events) != 1 || got[0].events[0] != (event{"power-update", "s1", "POWER_ON"}) || got[1].events[0].Tag != "POWER_OFF" {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{
		"OpenStack-API-Version": "compute 2.76", "X-OpenStack-Nova-API-Version": "2.76", "X-OpenStack-Request-ID": "req-7", "Content-Type": "application/json", "X-Auth-Token": "",
	} {
		if got[0].head.Get(name) != want {
			t.Errorf("header %s is %q, wanted %q", name, got[0].head.Get(name), want)
		}
	}
	if id := got[1].head.Get("X-OpenStack-Request-ID"); id != "req-id-0" {
		t.Errorf("request id of the power sync: %q", id)
	}
	if st := c.Stats(); st != (Stats{Sent: 2}) {
		t.Errorf("%+v", st)
	}
}

// What waits goes in one request, the newest state of each server only.
func TestNewestOfEachServer(t *testing.T) {
	o := newOpenStack(t)
	c := caller(t, o.open())
	say(t, c, "s1 POWER_ON a", "s2 POWER_ON b", "s1 POWER_OFF c", "s3 POWER_OFF d", "s1 POWER_ON e")
	got := o.heard()
	if len(got) != 1 || fmt.Sprint(got[0].events) != "[{power-update s2 POWER_ON} {power-update s3 POWER_OFF} {power-update s1 POWER_ON}]" {
		t.Errorf("%+v", got)
	}
	if st := c.Stats(); st != (Stats{Sent: 3, Superseded: 2}) {
		t.Errorf("%+v", st)
	}
}

func TestFailures(t *testing.T) { // N3: three tries; spec power.md section 9, Failures
	bad, broken := status(http.StatusBadGateway, "nobody home"), status(http.StatusOK, "<html>")
	for _, c := range []struct {
		name    string
		answers []func(http.ResponseWriter)
		calls   int
		want    Stats
	}{
		{"twice 502", []func(http.ResponseWriter){bad, bad}, 3, Stats{Sent: 1, Failed: 2}},
		{"thrice 502", []func(http.ResponseWriter){bad, bad, bad, bad}, 3, Stats{Failed: 3, Dropped: 1}},
		{"cut lines", []func(http.ResponseWriter){cut, cut}, 3, Stats{Sent: 1, Failed: 2}},
		{"too many requests", []func(http.ResponseWriter){status(http.StatusTooManyRequests, "")}, 2, Stats{Sent: 1, Failed: 1}},
		{"no JSON", []func(http.ResponseWriter){broken, broken, broken}, 3, Stats{Failed: 3, Dropped: 1}},
		{"bad request", []func(http.ResponseWriter){status(http.StatusBadRequest, `{"badRequest": {}}`)}, 1, Stats{Failed: 1, Dropped: 1}},
		{"no such instance", []func(http.ResponseWriter){status(http.StatusNotFound, "No instances found for any event")}, 1, Stats{Failed: 1, Dropped: 1}},
		{"elsewhere", []func(http.ResponseWriter){status(http.StatusFound, "")}, 1, Stats{Failed: 1, Dropped: 1}},
		{"this event refused", []func(http.ResponseWriter){status(http.StatusMultiStatus, `{"events": [{"server_uuid": "s1", "code": 422, "status": "failed"}]}`)}, 1, Stats{Dropped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpenStack(t)
			o.answers = c.answers
			n := caller(t, o.open())
			say(t, n, "s1 POWER_ON")
			if got := len(o.heard()); got != c.calls || n.Stats() != c.want {
				t.Errorf("%d calls, %+v; wanted %d, %+v", got, n.Stats(), c.calls, c.want)
			}
			o.answers = nil
			say(t, n, "s1 POWER_OFF")
			if st := n.Stats(); st.Sent != c.want.Sent+1 {
				t.Errorf("afterwards: %+v", st)
			}
		})
	}
}

func TestOneOfManyRefused(t *testing.T) {
	o := newOpenStack(t)
	o.answers = []func(http.ResponseWriter){status(http.StatusMultiStatus, `{"events": [{"server_uuid": "s1", "code": 200}, {"server_uuid": "s2", "code": 404, "status": "failed"}]}`)}
	c := caller(t, o.open())
	say(t, c, "s1 POWER_ON", "s2 POWER_ON")
	if st := c.Stats(); st != (Stats{Sent: 1, Dropped: 1}) || len(o.heard()) != 1 {
		t.Errorf("%+v, %d calls", st, len(o.heard()))
	}
}

func TestKeystone(t *testing.T) {
	o := newOpenStack(t)
	c := caller(t, o.keystone())
	say(t, c, "s1 POWER_ON")
	say(t, c, "s1 POWER_OFF")
	if got := o.heard(); len(got) != 2 || o.tokens != 1 || got[1].head.Get("X-Auth-Token") != "token-1" || got[0].path != "/internal/v2.1/os-server-external-events" && got[0].path != "/two/v2.1/os-server-external-events" {
		t.Fatalf("%+v, %d tokens", got, o.tokens)
	}
	const want = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"ironic","domain":{"name":"Users"},"password":"pass word"}}},"scope":{"project":{"name":"service","domain":{"name":"Default"}}}}}`
	if o.login != want {
		t.Errorf("login %s", o.login)
	}
	o.valid = "another" // revoked
	say(t, c, "s1 POWER_ON")
	if st := c.Stats(); st != (Stats{Sent: 3, Failed: 1}) || o.tokens != 2 {
		t.Errorf("%+v, %d tokens", st, o.tokens)
	}
	o.life = time.Second // too short to be of use twice
	c.key = token{}
	say(t, c, "s1 POWER_OFF")
	say(t, c, "s1 POWER_ON")
	if o.tokens != 4 {
		t.Errorf("%d tokens", o.tokens)
	}
}

func TestKeystoneFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		logins []func(http.ResponseWriter)
		want   Stats
	}{
		{"twice 503", []func(http.ResponseWriter){status(503, ""), status(503, "")}, Stats{Sent: 1, Failed: 2}},
		{"wrong password", []func(http.ResponseWriter){status(401, "The request you have made requires authentication.")}, Stats{Failed: 1, Dropped: 1}},
		{"no token", []func(http.ResponseWriter){status(201, "{}"), status(201, "no JSON")}, Stats{Sent: 1, Failed: 2}},
		{"no Nova", []func(http.ResponseWriter){func(w http.ResponseWriter) {
			w.Header().Set("X-Subject-Token", "x")
			status(201, `{"token": {"expires_at": "2100-01-01T00:00:00Z"}}`)(w)
		}}, Stats{Failed: 1, Dropped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpenStack(t)
			o.logins = c.logins
			n := caller(t, o.keystone())
			say(t, n, "s1 POWER_ON")
			if n.Stats() != c.want {
				t.Errorf("%+v, wanted %+v", n.Stats(), c.want)
			}
		})
	}
}

func TestRegionAndInterface(t *testing.T) {
	o := newOpenStack(t)
	for _, c := range []struct {
		region     string
		interfaces []string
		endpoint   string
		want       string
	}{
		{"one", nil, "", "/internal/v2.1"},
		{"two", nil, "", "/two/v2.1"},
		{"two", []string{"public"}, "", ""},
		{"", []string{"public", "internal"}, "", "/public/v2.1"},
		{"one", []string{"admin", "public"}, "", "/public/v2.1"},
		{"", nil, o.URL + "/mine", "/mine"},
	} {
		cfg := o.keystone()
		cfg.Region, cfg.Interfaces, cfg.Endpoint = c.region, c.interfaces, c.endpoint
		n, before := caller(t, cfg), len(o.heard())
		say(t, n, "s1 POWER_ON")
		got := ""
		if all := o.heard(); len(all) > before {
			got = strings.TrimSuffix(all[before].path, "/os-server-external-events")
		}
		if got != c.want {
			t.Errorf("region %q, interfaces %v: went to %q, wanted %q", c.region, c.interfaces, got, c.want)
		}
	}
}

// The end of the conductor is no failure: what was not told stays in the outbox.
func TestEndWhileNovaHangs(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(reached); <-release }))
	defer s.Close()
	defer close(release)
	c := caller(t, Config{Auth: None, Endpoint: s.URL})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if err := c.Publish(ctx, notify.Packet{ID: "1", Body: []byte(`{"server_uuid": "s1", "tag": "POWER_ON"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := c.Confirm(ctx); !errors.Is(err, context.Canceled) || c.Stats() != (Stats{}) {
		t.Errorf("%v, %+v", err, c.Stats())
	}
}

func TestUnreadableRecord(t *testing.T) {
	c := caller(t, Config{Auth: None, Endpoint: "http://127.0.0.1:1"})
	for _, body := range []string{"", "{}", `{"server_uuid": "s1"}`, "[]"} {
		if err := c.Publish(t.Context(), notify.Packet{Body: []byte(body)}); !errors.Is(err, notify.ErrRefused) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if err := c.Confirm(t.Context()); err != nil || c.Stats() != (Stats{Dropped: 4}) {
		t.Errorf("%v, %+v", err, c.Stats())
	}
}

func TestValidate(t *testing.T) {
	good := Config{Auth: Password, AuthURL: "http://k", User: "u", Password: "p", Project: "s"}
	for want, edit := range map[string]func(*Config){
		"nova.auth_url is empty":              func(c *Config) { c.AuthURL, c.Endpoint = "", "http://n" },
		"nova.username is empty":              func(c *Config) { c.User = "" },
		"nova.password is empty":              func(c *Config) { c.Password = "" },
		"nova.project_name is empty":          func(c *Config) { c.Project = "" },
		"nova.auth_type":                      func(c *Config) { c.Auth = "v3token" },
		"nova.endpoint_override is empty":     func(c *Config) { c.Auth = None },
		"nova.endpoint_override: wanted":      func(c *Config) { c.Endpoint = "nova:8774" },
		`found "...@k"`:                       func(c *Config) { c.AuthURL = "http://u:secret@k" },
		"nova.valid_interfaces":               func(c *Config) { c.Interfaces = []string{"private"} },
		"nova.cafile":                         func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "none") },
		"caller_test.go: wanted certificates": func(c *Config) { c.CAFile = "caller_test.go" },
	} {
		c := good
		edit(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, wanted %q", err, want)
		}
	}
	if err := (Config{Auth: "x"}).Validate(); err != nil {
		t.Errorf("a Nova that is nowhere: %v", err)
	}
}
