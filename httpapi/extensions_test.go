// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/httpapi/wire"
)

// Fields of our own are shown to those alone that ask for them by header (P6).
func TestExtensionsAreAskedFor(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 20, 30, 4000, time.UTC)
	w := newWorld(t, func(c *httpapi.Config) {
		c.Confirmed = func(string) time.Time { return at }
	})
	w.fleet()
	const header, field = wire.HeaderExtensions + ": 1", "power_confirmed_at"
	paths := []string{"/v1/nodes/n9", "/v1/nodes/detail?limit=1", "/v1/nodes?detail=true&limit=1", "/v1/nodes?limit=1"}
	for _, path := range paths {
		for _, h := range [][]string{nil, {wire.HeaderExtensions + ": 0"}, {wire.HeaderExtensions + ": true"}} {
			if a := w.want(200, "GET", path, "", h...); strings.Contains(a.text, field) {
				t.Errorf("%s with %q shows %s to a client that did not ask for it", path, h, field)
			}
		}
		a := w.want(200, "GET", path, "", header)
		if strings.Contains(a.text, `"`+field+`":"2026-11-21T10:20:30.000004+00:00"`) == (path == "/v1/nodes?limit=1") {
			t.Errorf("%s with the header: %s", path, a.text)
		}
	}
	w.want(400, "GET", "/v1/nodes?fields="+field, "")
	w.want(400, "GET", "/v1/nodes?sort_key="+field, "", header)
	w.want(400, "PATCH", "/v1/nodes/n9", `[{"op":"replace","path":"/`+field+`","value":"2026-11-21T10:20:30+00:00"}]`, header)
	for path, keys := range map[string]int{"/v1/nodes/n9?fields=" + field: 2, "/v1/nodes/n9?fields=name," + field: 3} {
		if a := w.want(200, "GET", path, "", header); len(a.object()) != keys || a.get(field) == nil {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	if a := w.want(200, "GET", "/v1/nodes?limit=1&fields=uuid,"+field, "", header); !strings.Contains(a.get("next").(string), field) {
		t.Errorf("the next page does not have the field: %s", a.text)
	}
	at = time.Time{}
	if a := w.want(200, "GET", "/v1/nodes/n9", "", header); !strings.Contains(a.text, `"`+field+`":null`) {
		t.Errorf("not confirmed yet: %s", a.text)
	}
}
