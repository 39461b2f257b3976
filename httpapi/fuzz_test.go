// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ferrite/httpapi"
)

// FuzzRequest: whatever comes in, the answer is below 500 and its body is JSON.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	w.seed()
	for _, seed := range [][4]string{
		{"GET", "/v1/nodes?limit=1&sort_key=name&fields=uuid,name&marker=" + sampleNode, "1.115", ""},
		{"GET", "/v1/nodes/detail?description_contains=%zz&shard=a,b", "1.82", ""},
		{"POST", "/v1/nodes", "latest", `{"driver":"fake-hardware","extra":{"a":[1e400,12345678901234567890]}}`},
		{"PATCH", "/v1/nodes/rack7-u12", "1.98", `[{"op":"add","path":"/extra/a~1b","value":[{}]},{"op":"remove","path":"/extra/a~1b/0"}]`},
		{"PATCH", "/v1/ports/" + samplePort, "1.115", `[{"op":"replace","path":"/local_link_connection","value":{"port_id":"x"}}]`},
		{"PUT", "/v1/nodes/rack7-u12/states/power?target=power+on", "1.27", `{"timeout":"9"}`},
		{"PUT", "/v1/nodes/rack7-u12/states/provision", "1.115", `{"target":"clean","clean_steps":[{"interface":"raid","step":"x","order":1}]}`},
		{"PUT", "/v1/nodes/rack7-u12/traits", "1.37", `{"traits":["CUSTOM_A"]}`},
		{"POST", "/v1/ports", "1.94", `{"address":"52:54:00:12:34:57","node_ident":"rack7-u12"}`},
		{"DELETE", "/v1//nodes/./../%2e%2e", "baremetal 1.1", "\xff"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, uri, version, body string) {
		if strings.ContainsAny(method, " \r\n") || method == "" || strings.ContainsAny(uri, " \r\n") {
			t.Skip("no request line")
		}
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod(method)
		ctx.Request.SetRequestURI(uri)
		ctx.Request.Header.SetHost("h:6385")
		ctx.Request.Header.Set("X-OpenStack-Ironic-API-Version", version)
		ctx.Request.SetBodyString(body)
		w.api.Handler(&ctx)
		if code := ctx.Response.StatusCode(); code < 200 || code >= 500 {
			t.Errorf("%s %q at %q with %q: %d %s", method, uri, version, body, code, ctx.Response.Body())
		}
		if b := ctx.Response.Body(); len(b) > 0 && string(ctx.Response.Header.ContentType()) == "application/json" && !(json.Valid(b) && utf8.Valid(b)) {
			t.Errorf("%s %q: the body is no JSON in UTF-8: %q", method, uri, b)
		}
	})
}

// FuzzConnection: whatever a client sends, the server answers in HTTP and JSON with less than 500 (505 apart), comes to
// an end, and serves others.
func FuzzConnection(f *testing.F) {
	w := newWorld(f)
	w.seed()
	addr := w.real()
	for _, seed := range []string{
		get, get + get, post(`{"driver":"fake-hardware"}`), "GET / HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
		"POST /v1/nodes HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PUT /v1/nodes/x/states/provision HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nAuthorization: Basic eDp5\r\nContent-Length: 2\r\n\r\n{}",
		"GET http://[::1]:x/%2e%2e/v1?a=%&b HTTP/1.1\r\nHost: \r\nConnection: Upgrade\r\n\r\n", "HEAD /v1/nodes HTTP/1.1\nHost: h\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		k := dial(t, addr)
		_, _ = k.Write(sent)
		_ = k.Conn.(*net.TCPConn).CloseWrite()
		head := bytes.Contains(sent, []byte("HEAD"))
		for !head {
			status, text, h := k.next()
			if status == 0 {
				if strings.Contains(text, "malformed") || strings.Contains(text, "timeout") {
					t.Errorf("%q: %s", sent, text)
				}
				break
			}
			if status >= 500 && status != http.StatusHTTPVersionNotSupported {
				t.Errorf("%q: %d %s", sent, status, text)
			}
			if h.Get("Content-Type") == "application/json" && len(text) > 0 && !(json.Valid([]byte(text)) && utf8.ValidString(text)) {
				t.Errorf("%q: the body is no JSON in UTF-8: %q", sent, text)
			}
		}
		if head {
			k.closed()
		}
	})
}

// FuzzHeaders: credentials and versions of any form are refused or read, never a panic, and the answer can be read.
func FuzzHeaders(f *testing.F) {
	w := newWorld(f)
	for _, seed := range [][3]string{{"Basic YWRtaW46c2VjcmV0", "1.89", "h"}, {"Basic !", "latest", "h:6385"}, {"Bearer x", "baremetal 1.1", "[::1]:6385"}, {"basic Og==", "1.\xff", "\xff"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, authorization, version, host string) {
		if strings.ContainsAny(authorization+version+host, "\r\n\x00") {
			t.Skip("no header")
		}
		var ctx fasthttp.RequestCtx
		ctx.Request.SetRequestURI("/v1")
		ctx.Request.Header.SetHost(host)
		ctx.Request.Header.Set("Authorization", authorization)
		ctx.Request.Header.Set("X-OpenStack-Ironic-API-Version", version)
		w.api.Handler(&ctx)
		b := ctx.Response.Body()
		if code := ctx.Response.StatusCode(); code < 200 || code >= 500 || len(b) > 0 && !(json.Valid(b) && utf8.Valid(b)) {
			t.Errorf("%q %q %q: %d %q", authorization, version, host, code, b)
		}
		if _, _, err := httpapi.Credentials(authorization); err == nil && len(authorization) < len("Basic Og==") {
			t.Errorf("%q is taken for credentials", authorization)
		}
	})
}
