// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
	"golang.org/x/crypto/bcrypt"

	"ferrite/httpapi"
)

func htpasswdLine(t *testing.T, user, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":$2y$" + strings.TrimPrefix(string(h), "$2a$") + "\n"
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestHTTPBasic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("# a comment\n"+htpasswdLine(t, "ann", "eins")+"md5:$apr1$x$y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *httpapi.Config) { c.HtpasswdFile = file })
	w.seed()
	for _, path := range []string{"/", "/v1", "/v1/", "/healthz", "/readyz"} {
		w.want(200, "GET", path, "")
	}
	rows := []struct {
		path, header string
		status       int
		text         string
	}{
		{"/v1/nodes", "", 401, "Authorization required"},
		{"/nodes", "", 401, "Authorization required"},
		{"/v1/nix", "", 401, "Authorization required"},
		{"/v1/nodes", basic("ann", "zwei"), 401, "Incorrect username or password"},
		{"/v1/nodes", basic("bob", "eins"), 401, "Incorrect username or password"},
		{"/v1/nodes", basic("bob", "nobody"), 401, "Incorrect username or password"}, // what unknown users are compared with
		{"/v1/nodes", basic("md5", "eins"), 401, "Incorrect username or password"},
		{"/v1/nodes", "Authorization: Bearer x", 400, "Unsupported authorization type: Bearer"},
		{"/v1/nodes", "Authorization: Basic %%%", 400, "Could not decode authorization header"},
		{"/v1/nodes", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann")), 400, "Could not decode authorization header"},
		{"/v1/nodes", basic("ann", "eins"), 200, ""},
		{"/v1/nodes", basic("ann", "eins"), 200, ""}, // remembered
		{"/v1/nodes", basic("ann", "zwei"), 401, "Incorrect username or password"},
	}
	for _, row := range rows {
		var headers []string
		if row.header != "" {
			headers = append(headers, row.header)
		}
		a := w.want(row.status, "GET", row.path, "", headers...)
		if row.status == 200 {
			continue
		}
		e, _ := a.get("error").(map[string]any)
		if e["message"] != row.text || e["code"] != float64(row.status) {
			t.Errorf("%s with %q: %s", row.path, row.header, a.text)
		}
		if got := a.Header.Get("WWW-Authenticate"); (got == `Basic realm="Baremetal API"`) != (row.status == 401) {
			t.Errorf("%s with %q: WWW-Authenticate is %q", row.path, row.header, got)
		}
	}
	data, err := os.ReadFile("testdata/12-error-http-basic-401.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample any
	if err := json.Unmarshal(data, &sample); err != nil {
		t.Fatal(err)
	}
	if diff := differences("", w.do("GET", "/v1/nodes", "").body, sample); diff != nil {
		t.Errorf("401 differs: %v", diff)
	}
	w.want(202, "PUT", "/v1/nodes/rack7-u12/maintenance", "", basic("ann", "eins"))
	if !strings.Contains(w.audit.String(), `"user":"ann"`) {
		t.Errorf("the audit does not name the user: %s", w.audit)
	}

	// The file is read again when it changes; a remembered sign-in ends with it.
	if err := os.WriteFile(file, []byte(htpasswdLine(t, "ann", "drei")+htpasswdLine(t, "bob", "vier")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/v1/nodes", "", basic("ann", "eins"))
	w.want(200, "GET", "/v1/nodes", "", basic("ann", "drei"))
	w.want(200, "GET", "/v1/nodes", "", basic("bob", "vier"))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.want(401, "GET", "/v1/nodes", "", basic("bob", "vier"))
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	if _, err := httpapi.New(httpapi.Config{}); err == nil || !strings.Contains(err.Error(), "Commands") {
		t.Errorf("without Commands: %v", err)
	}
	w := newWorld(t)
	cfg := httpapi.Config{Commands: w.owner, Reader: w.store, Hardware: hardware{}, Members: members{}, HtpasswdFile: filepath.Join(t.TempDir(), "nix")}
	if _, err := httpapi.New(cfg); err == nil || !strings.Contains(err.Error(), "nix") {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(cfg.HtpasswdFile, []byte("ann:plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := httpapi.New(cfg); err == nil || !strings.Contains(err.Error(), "no user") {
		t.Errorf("without a user: %v", err)
	}
}

// With TLS the same listener speaks HTTPS, and links say so.
func TestTLS(t *testing.T) {
	borrowed := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is what is wanted
	defer borrowed.Close()
	w := newWorld(t, func(c *httpapi.Config) {
		c.TLS = &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	client := borrowed.Client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the client has a %T", client.Transport)
	}
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return w.ln.Dial() }
	resp, err := client.Get("https://example.com/v1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), `"https://example.com/v1/nodes/"`) {
		t.Errorf("%d %v %s", resp.StatusCode, err, body)
	}
	client.CloseIdleConnections()
}

// Who is told to go uses another connection next time; it is answered all the same.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	ask := func() (status int, closes bool) {
		r, err := w.http.Get("http://ferrite/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode, r.Close
	}
	if status, closes := ask(); status != http.StatusOK || closes {
		t.Errorf("%d, close %v", status, closes)
	}
	w.api.Leave()
	for range 2 {
		if status, closes := ask(); status != http.StatusOK || !closes {
			t.Errorf("%d, close %v", status, closes)
		}
	}
}

// A Shutdown that overtakes Serve still ends it.
func TestShutdownBeforeServe(t *testing.T) {
	w := newWorld(t)
	api, err := httpapi.New(httpapi.Config{Commands: w.owner, Reader: w.store, Hardware: hardware{}, Members: members{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln := fasthttputil.NewInmemoryListener()
	if err := api.Serve(ln); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := ln.Dial(); err == nil {
		t.Error("the listener is still open")
	}
}
