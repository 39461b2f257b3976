// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ferrite/httpapi"
)

// patience is how long a test waits for what must happen; it asserts no time.
const patience = 30 * time.Second

// real serves the world on a TCP port as well.
func (w *world) real() string {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = w.api.Serve(ln) }()
	return ln.Addr().String()
}

// client is one raw connection.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{t: t, Conn: c, in: bufio.NewReader(c)}
}

func (c *client) send(parts ...string) *client {
	for _, p := range parts {
		_, _ = io.WriteString(c, p) // a server that refused may have closed
	}
	return c
}

// next reads one answer; 0 = the connection was closed without one.
func (c *client) next() (int, string, http.Header) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return resp.StatusCode, string(body), resp.Header
}

// closed waits for the end of the connection; what comes before is returned.
func (c *client) closed() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		c.t.Error("the connection stays open")
	}
	return string(rest)
}

func post(body string, headers ...string) string {
	return "POST /v1/nodes HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(headers, ""), "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

const get = "GET /v1/nodes HTTP/1.1\r\nHost: h\r\n\r\n"

func TestHostileRequestsAreRefusedInIronicsForm(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Metrics = http.NotFoundHandler() })
	w.seed()
	addr := w.real()
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	_, _ = z.Write([]byte(`{"driver":"ipmi"}`))
	_ = z.Close()
	many := strings.Repeat("[],", 70000)
	ops := strings.TrimSuffix(strings.Repeat(`{"op":"add","path":"/extra/a","value":1},`, 501), ",")
	const te = "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	for name, c := range map[string]struct {
		send   string
		status int
		text   string
		closes bool
	}{
		"length and chunked":          {te + "Content-Length: 5\r\n\r\n0\r\n\r\n", 400, "says twice", true},
		"chunked and length":          {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "says twice", true},
		"two lengths":                 {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400, "two Content-Length", true},
		"two lengths alike":           {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "two Content-Length", true},
		"negative length":             {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\n{}", 400, "", true},
		"signed length":               {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}", 400, "", true},
		"length beyond all":           {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400, "", true},
		"identity":                    {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", 400, "", true},
		"gzip transfer":               {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding", true},
		"chunked in 1.0":              {"POST /v1/nodes HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding", true},
		"space before colon":          {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length : 2\r\n\r\n{}", 400, "", true},
		"bad chunk size":              {te + "\r\nzz\r\n{}\r\n0\r\n\r\n", 400, "", true},
		"chunk size beyond all":       {te + "\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400, "", true},
		"chunk without end":           {te + "\r\n2\r\n{}xx\r\n0\r\n\r\n", 400, "", true},
		"chunks beyond the limit":     {te + "\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 20), 413, "too large", true},
		"large body, declared":        {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n", 413, "too large", true},
		"large body, expected":        {"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", 413, "too large", true},
		"large header":                {"GET /v1/nodes HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 20<<10) + "\r\n\r\n", 431, "header too large", true},
		"large request line":          {"GET /v1/nodes?fields=" + strings.Repeat("y", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", 431, "header too large", true},
		"two hosts":                   {"GET /v1/nodes HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "", true},
		"NUL in a header":             {"GET /v1/nodes HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400, "", true},
		"no HTTP":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "", true},
		"HTTP/2 preface":              {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1", true},
		"gzip":                        {post(zip.String(), "Content-Encoding: gzip"), 415, "compressed", true},
		"byte order mark":             {post("\xef\xbb\xbf{}"), 400, "byte order mark", false},
		"UTF-16":                      {post("\xff\xfe{\x00}\x00"), 400, "byte order mark", false},
		"UTF-16 without mark":         {post("{\x00}\x00"), 400, "UTF-8", false},
		"invalid UTF-8":               {post("{\"name\":\"\xc3\x28\"}"), 400, "UTF-8", false},
		"deep":                        {post(strings.Repeat("[", 100000)), 400, "nested too deeply", false},
		"many values":                 {post("[" + many + "[]]"), 400, "values", false},
		"huge number":                 {post(`{"driver":"ipmi","extra":{"a":[1e400]}}`), 400, "out of range", false},
		"two values":                  {post(`{"driver":"ipmi"}{}`), 400, "more behind", false},
		"truncated":                   {post(`{"driver":"ipm`), 400, "Malformed JSON", false},
		"many operations":             {"PATCH /v1/nodes/rack7-u12 HTTP/1.1\r\nHost: h\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n[%s]", len(ops)+2, ops), 400, "at most 500", false},
		"traversal":                   {"GET /v1/nodes/../../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", 404, "", false},
		"escaped traversal":           {"GET /v1/nodes/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: h\r\n\r\n", 400, "Expected UUID", false},
		"traversal to the inner part": {"GET /v1/../metrics HTTP/1.1\r\nHost: h\r\n\r\n", 404, "", false},
		"NUL in a path":               {"GET /v1/nodes/a%00b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "Expected UUID", false},
		"broken escape":               {"GET /v1/nodes/%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "escape", false},
		"query that is no text":       {"GET /v1/nodes?owner=%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not UTF-8", false},
		"version that is no text":     {"GET /v1/nodes HTTP/1.1\r\nHost: h\r\nX-OpenStack-Ironic-API-Version: \xff\r\n\r\n", 406, "", false},
		"overlong escape":             {"GET /v1/nodes/%c0%ae%c0%ae HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not UTF-8", false},
		"unknown method":              {"BREW /v1/nodes HTTP/1.1\r\nHost: h\r\n\r\n", 405, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := dial(t, addr).send(c.send)
			status, text, head := k.next()
			if status != c.status || !strings.Contains(text, c.text) || !json.Valid([]byte(text)) || !utf8.ValidString(text) || head.Get("Content-Type") != "application/json" {
				t.Fatalf("answered with %d %.300s %v, wanted %d in JSON with %q", status, text, head, c.status, c.text)
			}
			if c.closes {
				if rest := k.closed(); rest != "" {
					t.Errorf("after the refusal comes %q", rest)
				}
			} else if status, _, _ := k.send(get).next(); status != http.StatusOK {
				t.Errorf("the next request of the connection is answered with %d", status)
			}
		})
	}
	w.want(200, "GET", "/v1/nodes/rack7-u12", "")
}

func TestWhatIsOddButRightIsServed(t *testing.T) {
	w := newWorld(t)
	w.seed()
	addr := w.real()
	const node = "GET /v1/nodes/" + sampleNode + " HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, c := range map[string]struct{ send, text string }{
		"absolute URI":   {"GET http://elsewhere/v1/nodes/" + sampleNode + " HTTP/1.1\r\nHost: h\r\n\r\n", sampleNode},
		"HTTP/1.0":       {"GET /v1/nodes/" + sampleNode + " HTTP/1.0\r\n\r\n", sampleNode},
		"escaped name":   {"GET /v1/nodes/" + strings.Replace(sampleNode, "-", "%2D", 1) + " HTTP/1.1\r\nHost: h\r\n\r\n", sampleNode},
		"body of a GET":  {"GET /v1/nodes/" + sampleNode + " HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\nignored", sampleNode},
		"chunks":         {"PUT /v1/nodes/" + sampleNode + "/maintenance HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", ""},
		"duplicate keys": {post(`{"driver":"no-such","driver":"fake-hardware","extra":{"a":"first","a":"last"}}`), `"last"`}, // the last wins, as in Ironic
	} {
		t.Run(name, func(t *testing.T) {
			status, text, _ := dial(t, addr).send(c.send).next()
			if status < 200 || status > 299 || !strings.Contains(text, c.text) {
				t.Errorf("answered with %d %s", status, text)
			}
		})
	}
	t.Run("pipelining", func(t *testing.T) {
		k := dial(t, addr)
		go k.send(strings.Repeat(node, 500), post(`{"driver":`), node) // the answers may fill the connection
		for i := range 502 {
			want := http.StatusOK
			if i == 500 {
				want = http.StatusBadRequest
			}
			if status, text, _ := k.next(); status != want {
				t.Fatalf("answer %d is %d %s, wanted %d", i, status, text, want)
			}
		}
	})
	t.Run("body in pieces, then another request", func(t *testing.T) {
		body := `{"driver":"fake-hardware","extra":{"a":"` + strings.Repeat("x", 300_000) + `"}}`
		k := dial(t, addr)
		go k.send(post(body), node)
		if status, text, _ := k.next(); status != http.StatusCreated || len(text) < 300_000 {
			t.Errorf("answered with %d, %d bytes", status, len(text))
		}
		if status, _, _ := k.next(); status != http.StatusOK {
			t.Errorf("the request behind it is answered with %d", status)
		}
	})
}

// short are limits that a test reaches; what it does not mean to reach it makes long, or it depends on the machine.
func short(c *httpapi.Config) {
	c.Limits = httpapi.Limits{
		Connections: 20, PerAddress: 18, HeldBytes: 1 << 20, HeaderTimeout: 500 * time.Millisecond, BodyTimeout: 500 * time.Millisecond,
		WriteTimeout: 500 * time.Millisecond, IdleTimeout: time.Minute,
	}
}

// unhurried takes the times of short away, for tests of its numbers.
func unhurried(c *httpapi.Config) {
	c.Limits.HeaderTimeout, c.Limits.BodyTimeout, c.Limits.WriteTimeout = time.Minute, time.Minute, time.Minute
}

func TestSlowClientsAreCutOff(t *testing.T) {
	w := newWorld(t, short, func(c *httpapi.Config) { c.Limits.BodyTimeout = 2 * time.Second }) // of the large one, too
	w.want(201, "POST", "/v1/nodes", `{"name":"big","driver":"fake-hardware","extra":{"a":"`+strings.Repeat("x", 300_000)+`"}}`)
	addr := w.real()
	for name, head := range map[string]string{
		"header": "GET /v1/nodes HTTP/1.1\r\nX: ",
		"body":   "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
		"chunk":  "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n300\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := dial(t, addr).send(head)
			ended := make(chan struct{})
			defer close(ended)
			go func() { // a byte now and then does not win time
				for {
					select {
					case <-ended:
						return
					case <-time.After(50 * time.Millisecond):
						k.send("x")
					}
				}
			}()
			if status, text, _ := k.next(); status != http.StatusRequestTimeout || !strings.Contains(text, "too long") {
				t.Errorf("a dribbled %s is answered with %d %s", name, status, text)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		dial(t, addr).closed()
	})
	t.Run("answer not read", func(t *testing.T) {
		t.Parallel()
		k := dial(t, addr)
		// A few large answers fill what the kernel holds for a socket (up to 4 MB); tens of thousands of small ones may take a busy machine longer than patience.
		get := "GET /v1/nodes/big HTTP/1.1\r\nHost: h\r\nX-OpenStack-Ironic-API-Version: 1.5\r\n\r\n"
		_ = k.Conn.(*net.TCPConn).SetReadBuffer(4096)
		_ = k.SetDeadline(time.Now().Add(patience))
		for { // until the server takes no more and cuts off
			if _, err := io.WriteString(k, get); err != nil {
				if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
					t.Error("who takes no answers is served for ever")
				}
				return
			}
		}
	})
}

func TestConnectionsAreCounted(t *testing.T) {
	w := newWorld(t, short, unhurried)
	addr := w.real()
	var open []*client
	for range 18 {
		k := dial(t, addr).send(get)
		if status, text, _ := k.next(); status != http.StatusOK {
			t.Fatalf("within the limit: %d %s", status, text)
		}
		open = append(open, k)
		w.idle(len(open)) // in this order
	}
	status, text, head := dial(t, addr).send(get).next()
	if status != http.StatusServiceUnavailable || head.Get("Retry-After") == "" || !strings.Contains(text, "Too many connections from 127.0.0.1") {
		t.Fatalf("the 19th of one address is answered with %d %s", status, text)
	}
	from := func(ip string) *client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return &client{t: t, Conn: c, in: bufio.NewReader(c)}
	}
	open[0].send("GET /v1/nodes HTT") // in mid-header: still among those that wait
	for i := range 5 {                // 2 find room, 3 take that of the longest idle
		k := from("127.0.0.2").send(get)
		if status, text, _ := k.next(); status != http.StatusOK {
			t.Fatalf("connection %d of another address: %d %s", i, status, text)
		}
		w.idle(min(19+i, 20))
	}
	for i := range 3 {
		if rest := open[i].closed(); rest != "" {
			t.Errorf("connection %d is closed after %q", i, rest)
		}
	}
	for i, k := range open[3:] {
		if status, text, _ := k.send(get).next(); status != http.StatusOK {
			t.Errorf("connection %d, younger than those, is answered with %d %s", i+3, status, text)
		}
	}
	for _, k := range open {
		_ = k.Close()
	}
	for end := time.Now().Add(patience); ; { // what was closed is counted out
		if status, _, _ := dial(t, addr).send(get).next(); status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("closed connections still count")
		}
	}
}

func TestBodiesAreHeldWithinABudget(t *testing.T) {
	w := newWorld(t, short, unhurried)
	addr := w.real()
	part := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = io.WriteString(c, "POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n"+strings.Repeat("x", 450000))
		return c
	}
	held := []net.Conn{part("127.0.0.2"), part("127.0.0.3")}
	large := post(`{"driver":"fake-hardware","description":"` + strings.Repeat("x", 900_000) + `"}`)
	refused := false
	for end := time.Now().Add(patience); !refused; { // as soon as the parts have arrived
		status, text, head := dial(t, addr).send(large).next()
		refused = status == http.StatusServiceUnavailable && head.Get("Retry-After") != "" && strings.Contains(text, "as many request and answer bytes")
		if !refused && time.Now().After(end) {
			t.Fatalf("beyond the budget: %d %s", status, text)
		}
	}
	if status, text, _ := dial(t, addr).send(post(`{"driver":"fake-hardware"}`)).next(); status != http.StatusCreated {
		t.Errorf("a small body is answered with %d %s while large ones are refused", status, text)
	}
	for _, c := range held {
		_ = c.Close()
	}
	for end := time.Now().Add(patience); ; {
		if status, text, _ := dial(t, addr).send(post(`{"driver":"fake-hardware","extra":{"a":"` + strings.Repeat("x", 100_000) + `"}}`)).next(); status == http.StatusServiceUnavailable {
			if time.Now().After(end) {
				t.Fatalf("what was held is not given back: %d %s", status, text)
			}
			continue
		}
		break
	}
}

func TestLargeConfigdrivesAreForThoseWhoMaySignIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte(htpasswdLine(t, "ann", "eins")), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *httpapi.Config) { c.HtpasswdFile = file })
	w.seed()
	addr := w.real()
	body := `{"target":"active","configdrive":"!` + strings.Repeat("x", 3<<20) + `"}`
	put := func(auth string) int {
		k := dial(t, addr)
		go k.send(fmt.Sprintf("PUT /v1/nodes/%s/states/provision HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Length: %d\r\n\r\n%s", sampleNode, auth, len(body), body))
		status, _, _ := k.next()
		return status
	}
	if status := put(basic("ann", "eins")); status != http.StatusBadRequest {
		t.Errorf("ann's configdrive, which is none, is answered with %d", status)
	}
	for i := range 6 { // each is a guess like any other
		if status := put(basic("ann", fmt.Sprint("guess", i))); status != http.StatusRequestEntityTooLarge {
			t.Errorf("guess %d is answered with %d", i, status)
		}
	}
	status, text, _ := dial(t, addr).send("GET /v1/nodes HTTP/1.1\r\nHost: h\r\n" + basic("ann", "guess6") + "\r\n\r\n").next()
	if status != http.StatusTooManyRequests {
		t.Errorf("after those, another is answered with %d %s", status, text)
	}
}

func TestTLSConnectionsAreCountedAndGivenBack(t *testing.T) {
	borrowed := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is what is wanted
	defer borrowed.Close()
	w := newWorld(t, short, unhurried, func(c *httpapi.Config) {
		c.Limits.HeldBytes = 0
		c.TLS = &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	addr := w.real()
	opened := func() (*client, int) {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's certificate
		if err != nil {
			return nil, 0
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		k := &client{t: t, Conn: c, in: bufio.NewReader(c)}
		status, _, _ := k.send(get).next()
		return k, status
	}
	var all []*client
	for i := range 18 {
		k, status := opened()
		if status != http.StatusOK {
			t.Fatalf("connection %d is answered with %d", i, status)
		}
		all = append(all, k)
	}
	if _, status := opened(); status != 0 {
		t.Errorf("one too many is answered with %d", status)
	}
	if status, _, _ := all[0].send(post("[" + strings.Repeat("0,", 300_000) + "0]")).next(); status != http.StatusBadRequest {
		t.Errorf("a body of too many values is answered with %d", status)
	}
	if status, _, _ := all[0].send(get).next(); status != http.StatusOK {
		t.Errorf("the request behind it is answered with %d", status)
	}
	for _, k := range all {
		_ = k.Close()
	}
	for end := time.Now().Add(patience); ; {
		if _, status := opened(); status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("closed connections still count")
		}
	}
}
