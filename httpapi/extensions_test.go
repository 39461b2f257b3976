// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"ferrite/httpapi"
	"ferrite/httpapi/wire"
	"ferrite/node"
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
	if len(w.owner.asked) != 0 {
		t.Errorf("what is known here was asked of the owner: %v", w.owner.asked)
	}
	at = time.Time{}
	if a := w.want(200, "GET", "/v1/nodes/n9", "", header); !strings.Contains(a.text, `"`+field+`":null`) {
		t.Errorf("not confirmed yet: %s", a.text)
	}
}

// What another conductor knows is asked of it for one node, and never for a list; who does not answer spoils nothing.
func TestConfirmedAtIsAskedOfTheOwner(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) {
		c.Confirmed = func(string) time.Time { return time.Time{} }
	})
	w.fleet()
	const header = wire.HeaderExtensions + ": 1"
	at := time.Date(2026, 11, 21, 10, 20, 30, 4000, time.UTC)
	var fail error
	w.owner.before = func(_ string, m node.Msg) (any, error, bool) {
		if _, ok := m.(node.GetConfirmed); !ok {
			return nil, nil, false
		}
		return node.Confirmed{At: at}, fail, true
	}
	w.owner.asked = nil
	for _, path := range []string{"/v1/nodes/n9", "/v1/nodes/n9?fields=power_confirmed_at,name"} {
		if a := w.want(200, "GET", path, "", header); a.get("power_confirmed_at") != "2026-11-21T10:20:30.000004+00:00" {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	if want := []node.Msg{node.GetConfirmed{}, node.GetConfirmed{}}; !reflect.DeepEqual(w.owner.asked, want) {
		t.Errorf("two answers asked %v", w.owner.asked)
	}
	w.owner.asked = nil
	w.want(200, "GET", "/v1/nodes/n9", "")
	w.want(200, "GET", "/v1/nodes/n9?fields=name", "", header)
	if a := w.want(200, "GET", "/v1/nodes/detail", "", header); !strings.Contains(a.text, `"power_confirmed_at":null`) {
		t.Errorf("a list knows what is not known here: %.200s", a.text)
	}
	if len(w.owner.asked) != 0 {
		t.Errorf("lists, and who did not want to know, asked %v", w.owner.asked)
	}
	fail = &node.Error{Op: "GetConfirmed", Kind: node.Unavailable, Text: "away"}
	if a := w.want(200, "GET", "/v1/nodes/n9", "", header); !strings.Contains(a.text, `"power_confirmed_at":null`) {
		t.Errorf("an owner that is away: %s", a.text)
	}
}
