// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
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
		if b := ctx.Response.Body(); len(b) > 0 && string(ctx.Response.Header.ContentType()) == "application/json" && !json.Valid(b) {
			t.Errorf("%s %q: the body is no JSON: %s", method, uri, b)
		}
	})
}
