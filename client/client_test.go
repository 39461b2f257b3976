// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ferrite/node"
)

// served is a request that the fake service has seen.
type served struct{ method, uri, body, version, auth string }

// service answers requests from a script and remembers them.
type service struct {
	*httptest.Server
	mu   sync.Mutex // guards seen
	seen []served
}

func newService(t *testing.T, answer func(n int, r *http.Request) (int, string)) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		s.mu.Lock()
		s.seen = append(s.seen, served{r.Method, r.URL.RequestURI(), string(b), r.Header.Get("X-OpenStack-Ironic-API-Version"), user + ":" + password})
		n := len(s.seen)
		s.mu.Unlock()
		w.Header().Set("X-OpenStack-Ironic-API-Minimum-Version", "1.1")
		w.Header().Set("X-OpenStack-Ironic-API-Maximum-Version", "1.115")
		w.Header().Set("Openstack-Request-Id", "req-7")
		code, body := answer(n, r)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []served {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]served(nil), s.seen...)
}

func TestEveryCallIsTheRequestThatTheAPIKnows(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name   string
		call   func(*Client) error
		method string
		uri    string
		body   string // JSON, "" = none
		answer string
	}{
		{"create", func(c *Client) error {
			n, err := c.CreateNode(ctx, NewNode{Driver: "ipmi", Name: "r01n01", DriverInfo: map[string]any{"ipmi_port": 6230}, Fields: map[string]any{"extra": map[string]any{"u": 1}}})
			if err == nil && n.UUID != "u1" {
				err = fmt.Errorf("uuid %q", n.UUID)
			}
			return err
		}, "POST", "/v1/nodes", `{"driver":"ipmi","name":"r01n01","driver_info":{"ipmi_port":6230},"extra":{"u":1}}`, `{"uuid":"u1"}`},
		{"get", func(c *Client) error { _, err := c.GetNode(ctx, "a b"); return err }, "GET", "/v1/nodes/a%20b", "", `{}`},
		{"patch", func(c *Client) error {
			_, err := c.Patch(ctx, "n1", Op{"add", "/extra/rack", nil}, Op{"remove", "/name", "unused"})
			return err
		}, "PATCH", "/v1/nodes/n1", `[{"op":"add","path":"/extra/rack","value":null},{"op":"remove","path":"/name"}]`, `{}`},
		{"delete", func(c *Client) error { return c.Delete(ctx, "n1") }, "DELETE", "/v1/nodes/n1", "", ""},
		{"provision", func(c *Client) error { return c.SetProvision(ctx, "n1", "manage") }, "PUT", "/v1/nodes/n1/states/provision", `{"target":"manage"}`, ""},
		{"provision with steps", func(c *Client) error {
			return c.SetProvisionWith(ctx, "n1", "clean", map[string]any{"clean_steps": []any{}})
		}, "PUT", "/v1/nodes/n1/states/provision", `{"target":"clean","clean_steps":[]}`, ""},
		{"power", func(c *Client) error { return c.SetPower(ctx, "n1", node.PowerOn, 0) }, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`, ""},
		{"power in time", func(c *Client) error { return c.SetPower(ctx, "n1", node.SoftPowerOff, 90*time.Second) }, "PUT", "/v1/nodes/n1/states/power", `{"target":"soft power off","timeout":90}`, ""},
		{"maintenance", func(c *Client) error { return c.SetMaintenance(ctx, "n1", "a fan") }, "PUT", "/v1/nodes/n1/maintenance", `{"reason":"a fan"}`, ""},
		{"maintenance off", func(c *Client) error { return c.UnsetMaintenance(ctx, "n1") }, "DELETE", "/v1/nodes/n1/maintenance", "", ""},
		{"validate", func(c *Client) error {
			v, err := c.Validate(ctx, "n1")
			if err == nil && (v["boot"].Result != nil || !*v["power"].Result) {
				err = fmt.Errorf("validity %v", v)
			}
			return err
		}, "GET", "/v1/nodes/n1/validate", "", `{"power":{"result":true},"boot":{"result":null,"reason":"not supported"}}`},
		{"port", func(c *Client) error {
			_, err := c.CreatePort(ctx, Port{Address: "52:54:00:00:00:01", NodeUUID: "u1"})
			return err
		}, "POST", "/v1/ports", `{"address":"52:54:00:00:00:01","node_uuid":"u1"}`, `{}`},
		{"ports", func(c *Client) error {
			p, err := c.Ports(ctx, "n1")
			if err == nil && (len(p) != 1 || p[0].Address != "x") {
				err = fmt.Errorf("ports %v", p)
			}
			return err
		}, "GET", "/v1/ports/detail?node=n1", "", `{"ports":[{"address":"x"}]}`},
		{"delete port", func(c *Client) error { return c.DeletePort(ctx, "p1") }, "DELETE", "/v1/ports/p1", "", ""},
		{"drivers", func(c *Client) error {
			d, err := c.Drivers(ctx)
			if err == nil && (len(d) != 1 || d[0].Name != "ipmi") {
				err = fmt.Errorf("drivers %v", d)
			}
			return err
		}, "GET", "/v1/drivers", "", `{"drivers":[{"name":"ipmi"}]}`},
		{"conductors", func(c *Client) error { _, err := c.Conductors(ctx); return err }, "GET", "/v1/conductors?detail=True", "", `{"conductors":[]}`},
		{"versions", func(c *Client) error {
			low, high, err := c.Versions(ctx)
			if err == nil && low+" "+high != "1.1 1.115" {
				err = fmt.Errorf("versions %s to %s", low, high)
			}
			return err
		}, "GET", "/v1", "", `{"version":{"min_version":"1.1","version":"1.115"}}`},
		{"anything else", func(c *Client) error {
			return c.Do(ctx, "PUT", "/v1/nodes/n1/management/boot_device", map[string]any{"boot_device": "pxe"}, nil)
		}, "PUT", "/v1/nodes/n1/management/boot_device", `{"boot_device":"pxe"}`, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, func(int, *http.Request) (int, string) { return http.StatusOK, tc.answer })
			if err := tc.call(New(s.URL+"/v1/", WithVersion("1.83"), WithBasicAuth("ann", "secret"))); err != nil {
				t.Fatal(err)
			}
			got := s.requests()
			if len(got) != 1 || got[0].method != tc.method || got[0].uri != tc.uri || got[0].version != "1.83" || got[0].auth != "ann:secret" {
				t.Fatalf("sent %+v, wanted %s %s at 1.83 by ann", got, tc.method, tc.uri)
			}
			if !sameJSON(t, got[0].body, tc.body) {
				t.Errorf("body %s, wanted %s", got[0].body, tc.body)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	if a == "" || b == "" {
		return a == b
	}
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

func TestErrorForms(t *testing.T) {
	cases := []struct {
		name, body string
		status     int
		code, text string
	}{
		{"A, handled", `{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node x could not be found.\", \"debuginfo\": null}"}`, 404, "Client", "Node x could not be found."},
		{"A, as an object", `{"error_message": {"faultcode": "Server", "faultstring": "disk full"}}`, 500, "Server", "disk full"},
		{"B, routing", `{"error_message": "{\"code\": 404, \"title\": \"Not Found\", \"description\": \"no such path\"}"}`, 404, "", "no such path"},
		{"B, without description", `{"error_message": "{\"code\": 405, \"title\": \"Method Not Allowed\", \"description\": \"\"}"}`, 405, "", "Method Not Allowed"},
		{"C, basic auth", `{"error": {"message": "Authorization required", "code": 401}}`, 401, "", "Authorization required"},
		{"D, flat", `{"faultcode": "Client", "faultstring": "Request entity too large"}`, 413, "Client", "Request entity too large"},
		{"plain in error_message", `{"error_message": "gone fishing"}`, 500, "", "gone fishing"},
		{"a proxy's page", "<html>bad gateway</html>", 502, "", "<html>bad gateway</html>"},
		{"nothing", "", 503, "", ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, func(int, *http.Request) (int, string) { return tc.status, tc.body })
			_, err := New(s.URL).GetNode(context.Background(), "x")
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, wanted *Error", err)
			}
			if e.Status != tc.status || e.Code != tc.code || e.Text != tc.text || e.RequestID != "req-7" || Status(err) != tc.status {
				t.Errorf("%+v, wanted %d %q %q", e, tc.status, tc.code, tc.text)
			}
			if s := e.Error(); !strings.Contains(s, "GET /v1/nodes/x: "+fmt.Sprint(tc.status)) || !strings.Contains(s, tc.text) {
				t.Errorf("the error reads %q", s)
			}
		})
	}
	t.Run("406 names the range", func(t *testing.T) {
		s := newService(t, func(int, *http.Request) (int, string) { return http.StatusNotAcceptable, `{}` })
		_, err := New(s.URL, WithVersion("1.999")).GetNode(context.Background(), "x")
		if err == nil || !strings.Contains(err.Error(), "1.1 to 1.115") {
			t.Errorf("%v", err)
		}
	})
}

func TestListWalksAllPagesAndDropsTheHostOfNext(t *testing.T) {
	s := newService(t, func(n int, _ *http.Request) (int, string) {
		if n < 3 {
			return 200, fmt.Sprintf(`{"nodes":[{"uuid":"a%d"},{"uuid":"b%d"}],"next":"http://behind.a.proxy:1/v1/nodes?limit=2&provision_state=active&marker=b%d"}`, n, n, n)
		}
		return 200, `{"nodes":[{"uuid":"z","provision_state":"active"}]}`
	})
	got, err := New(s.URL).ListNodes(context.Background(), Query{PageSize: 2, Fields: []string{"uuid", "provision_state"}, Sort: "uuid", Desc: true, Filter: map[string]string{"provision_state": "active"}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, n := range got {
		ids = append(ids, n.UUID)
	}
	if strings.Join(ids, " ") != "a1 b1 a2 b2 z" || got[4].ProvisionState != node.Active {
		t.Errorf("nodes %v", ids)
	}
	var uris []string
	for _, r := range s.requests() {
		uris = append(uris, r.uri)
	}
	want := []string{
		"/v1/nodes?fields=uuid%2Cprovision_state&limit=2&provision_state=active&sort_dir=desc&sort_key=uuid",
		"/v1/nodes?limit=2&provision_state=active&marker=b1", "/v1/nodes?limit=2&provision_state=active&marker=b2",
	}
	if !reflect.DeepEqual(uris, want) {
		t.Errorf("asked %v, wanted %v", uris, want)
	}
}

func TestListStopsWhenTheReaderDoesAndNeverGoesInCircles(t *testing.T) {
	s := newService(t, func(int, *http.Request) (int, string) {
		return 200, `{"nodes":[{"uuid":"a"}],"next":"/v1/nodes?marker=a"}`
	})
	c := New(s.URL)
	for range c.Nodes(context.Background(), Query{}) {
		break
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests for one node, wanted 1", n)
	}
	_, err := c.ListNodes(context.Background(), Query{})
	if err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("error %v", err)
	}
}

func TestRetryOn409And503Only(t *testing.T) {
	for _, tc := range []struct {
		status, tries, want int
	}{{409, 4, 4}, {503, 4, 4}, {409, 1, 1}, {400, 4, 1}, {500, 4, 1}} {
		s := newService(t, func(int, *http.Request) (int, string) { return tc.status, `{}` })
		err := New(s.URL, WithRetry(tc.tries, time.Microsecond)).SetProvision(context.Background(), "n1", "manage")
		if n := len(s.requests()); n != tc.want || Status(err) != tc.status {
			t.Errorf("%d with %d tries: %d requests, %v; wanted %d", tc.status, tc.tries, n, err, tc.want)
		}
	}
	s := newService(t, func(n int, _ *http.Request) (int, string) {
		if n < 3 {
			return 409, `{}`
		}
		return 202, ""
	})
	if err := New(s.URL, WithRetry(6, time.Microsecond)).SetProvision(context.Background(), "n1", "manage"); err != nil {
		t.Errorf("after two refusals: %v", err)
	}
	for _, r := range s.requests() {
		if r.body != `{"target":"manage"}` {
			t.Errorf("a repeated request had the body %q", r.body)
		}
	}
}

// Who is told to come back in a second comes back then, whatever pause was asked for.
func TestRetryAfterIsBelieved(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := New(s.URL, WithRetry(2, time.Hour)).SetProvision(ctx, "n1", "manage"); err != nil || asked != 2 {
		t.Errorf("%d requests, %v", asked, err)
	}
	for said, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "999999": time.Hour, "9999999999999999999999": 0} {
		r := &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {said}}}
		var e *Error
		if err := readError("GET", "/", r, nil); !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("Retry-After %q is %v, wanted %s", said, err, want)
		}
	}
}

// An answer that could not be confirmed is told, and is an answer all the same (R4).
func TestAStaleAnswerIsTold(t *testing.T) {
	stale := "31"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if stale != "" {
			w.Header().Set("Ferrite-Stale", stale)
		}
		_, _ = w.Write([]byte(`{"boot_device":"pxe"}`))
	}))
	defer s.Close()
	var told []time.Duration
	c := New(s.URL, WithStale(func(since time.Duration) { told = append(told, since) }))
	for _, stale = range []string{"31", "", "0"} {
		if n, err := c.GetBootDevice(context.Background(), "n1"); err != nil || *n.Device != "pxe" {
			t.Fatalf("%v, %v", n, err)
		}
	}
	if want := []time.Duration{31 * time.Second, 0}; !slices.Equal(told, want) {
		t.Errorf("told %v, wanted %v", told, want)
	}
}

// What a Wait call sees is told each time.
func TestLookIsTold(t *testing.T) {
	s := newService(t, func(n int, _ *http.Request) (int, string) {
		if n < 3 {
			return 200, `{"power_state":"power off","target_power_state":"power on"}`
		}
		return 200, `{"power_state":"power on"}`
	})
	var seen []string
	c := New(s.URL, WithPoll(time.Microsecond), WithLook(func(ident string, n *Node) {
		seen = append(seen, ident+" "+string(n.PowerState)+" "+string(n.TargetPowerState))
	}))
	if _, err := c.WaitPower(context.Background(), "n1", node.PowerOn); err != nil {
		t.Fatal(err)
	}
	if want := []string{"n1 power off power on", "n1 power off power on", "n1 power on "}; !slices.Equal(seen, want) {
		t.Errorf("told %q, wanted %q", seen, want)
	}
}

func TestRefusedConnectionIsTriedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	dials := 0
	h := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}}
	_, err = New("http://"+l.Addr().String(), WithHTTPClient(h), WithRetry(3, time.Microsecond)).GetNode(context.Background(), "x")
	if dials != 3 || err == nil || Status(err) != 0 || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("%d dials, %v", dials, err)
	}
}

func TestBadBaseIsNamed(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:6385", "ftp://x", "http://"} {
		_, err := New(base).GetNode(context.Background(), "x")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", base)) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestWait(t *testing.T) {
	prov := func(c *Client, ctx context.Context) (*Node, error) { return c.WaitProvision(ctx, "n1", node.Available) }
	power := func(c *Client, ctx context.Context) (*Node, error) { return c.WaitPower(ctx, "n1", node.PowerOn) }
	cases := []struct {
		name    string
		wait    func(*Client, context.Context) (*Node, error)
		answers []string // the last one stays
		asked   int
		fails   string
	}{
		{"through a transient state", prov, []string{
			`{"provision_state":"cleaning","target_provision_state":"available","reservation":"c1"}`,
			`{"provision_state":"available","reservation":"c1"}`,
			`{"provision_state":"available","reservation":null,"target_provision_state":null}`,
		}, 3, ""},
		{"a last_error under way does not stop it", prov, []string{
			`{"provision_state":"cleaning","target_provision_state":"available","last_error":"a step was slow"}`, `{"provision_state":"available"}`,
		}, 2, ""},
		{"rest elsewhere with last_error", prov, []string{`{"provision_state":"enroll","last_error":"no answer from 127.1.0.1"}`}, 1, "no answer from 127.1.0.1"},
		{"failed state", prov, []string{`{"provision_state":"clean failed","target_provision_state":"available"}`}, 1, `"clean failed"`},
		{"power arrives", power, []string{
			`{"power_state":"power off","target_power_state":"power on","reservation":"c1"}`, `{"power_state":"power on","reservation":"c1"}`, `{"power_state":"power on"}`,
		}, 3, ""},
		{"power fails", power, []string{`{"power_state":"power off","target_power_state":"power on"}`, `{"power_state":"power off","last_error":"BMC said no"}`}, 2, "BMC said no"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, func(n int, _ *http.Request) (int, string) { return 200, tc.answers[min(n, len(tc.answers))-1] })
			n, err := tc.wait(New(s.URL, WithPoll(time.Microsecond)), context.Background())
			if got := len(s.requests()); got != tc.asked {
				t.Errorf("asked %d times, wanted %d", got, tc.asked)
			}
			if tc.fails == "" && (err != nil || n == nil) || tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Errorf("node %v, error %v; wanted %q", n, err, tc.fails)
			}
		})
	}
	t.Run("until the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		s := newService(t, func(int, *http.Request) (int, string) { return 200, `{"provision_state":"cleaning"}` })
		go func() {
			for len(s.requests()) < 2 {
				time.Sleep(time.Millisecond)
			}
			cancel(errors.New("out of patience"))
		}()
		_, err := New(s.URL, WithPoll(time.Millisecond)).WaitProvision(ctx, "n1", node.Available)
		if err == nil || !strings.Contains(err.Error(), "out of patience") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a node that is gone", func(t *testing.T) {
		s := newService(t, func(int, *http.Request) (int, string) { return 404, `{}` })
		if _, err := New(s.URL).WaitPower(context.Background(), "n1", node.PowerOn); Status(err) != 404 {
			t.Errorf("%v", err)
		}
	})
}

func TestNodeDecodesNullsAndTimes(t *testing.T) {
	s := newService(t, func(int, *http.Request) (int, string) {
		return 200, `{"uuid":"u","name":null,"power_state":null,"target_power_state":"power on","last_error":null,"driver_info":{"ipmi_port":623},
			"automated_clean":null,"secure_boot":true,"traits":["CUSTOM_A"],"created_at":"2026-11-21T05:00:00+00:00","updated_at":null,"links":[{"href":"x"}]}`
	})
	n, err := New(s.URL).GetNode(context.Background(), "u")
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "" || n.PowerState != node.PowerUnknown || n.TargetPowerState != node.PowerOn || n.AutomatedClean != nil || !*n.SecureBoot ||
		n.CreatedAt.Unix() != time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC).Unix() || n.UpdatedAt != nil || n.Traits[0] != "CUSTOM_A" {
		t.Errorf("%+v", n)
	}
}
