// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"ferrite/httpapi"
	"ferrite/node"
)

// claiming is hardware whose nodes must be claimed first.
type claiming struct {
	hardware
	claim func(uuid string) (*node.Node, error)
}

func (c claiming) Claim(_ context.Context, uuid string) (*node.Node, error) { return c.claim(uuid) }

// TestRelease: only by force, with the claim before the end, and it says what it dropped to the client and to the audit.
func TestRelease(t *testing.T) { // S13
	var w *world
	var claimed []string
	w = newWorld(t, func(c *httpapi.Config) {
		c.Hardware = claiming{claim: func(uuid string) (*node.Node, error) {
			claimed = append(claimed, uuid)
			n, _ := w.store.Node(uuid)
			if n.Intent == nil {
				t.Error("the operation was ended before the claim")
			}
			return n, nil
		}}
	})
	id := w.create(`{"driver":"fake-hardware","name":"n1"}`)
	const path = "/v1/x/nodes/n1/release"
	w.want(409, "POST", path, `{"force":true}`) // nothing to release
	w.want(404, "POST", "/v1/x/nodes/n2/release", `{"force":true}`)
	w.owner.open = true
	w.want(202, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`)
	for _, body := range []string{``, `{}`, `{"force":false}`} {
		a := w.want(400, "POST", path, body)
		if !strings.Contains(a.text, "would end operation") || !strings.Contains(a.text, "power on") || !strings.Contains(a.text, "--force") {
			t.Errorf("refused with %s: it does not say what would be dropped", a.text)
		}
	}
	w.want(400, "POST", path, `{"force":"perhaps"}`)
	w.want(400, "POST", path, `{"force":true,"quick":true}`)
	if len(claimed) > 0 {
		t.Fatal("claimed without force")
	}
	a := w.want(200, "POST", path, `{"force":true}`)
	for key, want := range map[string]string{"node_uuid": id, "node_name": "n1", "verb": "set power", "target": "power on", "conductor": "cond-a"} {
		if got, _ := a.get(key).(string); got != want {
			t.Errorf("%s is %q, wanted %q", key, got, want)
		}
	}
	if len(claimed) != 1 {
		t.Errorf("claimed %v, wanted the node once", claimed)
	}
	n := w.want(200, "GET", "/v1/nodes/n1", "")
	if e, _ := n.get("last_error").(string); n.get("reservation") != nil || n.get("target_power_state") != nil || !strings.Contains(e, "released by force") {
		t.Errorf("after the release: %s", n.text)
	}
	w.owner.open = false
	w.want(202, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`)
	lines := audits(t, w, path)
	last := lines[len(lines)-1]
	if len(lines) != 7 || last["action"] != "release" || last["result"] != "released" || last["verb"] != "set power" || last["node"] != id || last["user"] != "anonymous" {
		t.Errorf("%d audit lines, the last %v", len(lines), last)
	}
}

// TestReleaseOfWhatEndedMeanwhile ends nothing that began after the one that was to be released.
func TestReleaseOfWhatEndedMeanwhile(t *testing.T) { // S13
	var w *world
	w = newWorld(t, func(c *httpapi.Config) {
		c.Hardware = claiming{claim: func(uuid string) (*node.Node, error) {
			n, _ := w.store.Node(uuid)
			c := n.Clone()
			i := *c.Intent
			i.ID = "another"
			c.Intent = &i
			return c, nil
		}}
	})
	w.create(`{"driver":"fake-hardware","name":"n1"}`)
	w.owner.open = true
	w.want(202, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`)
	if a := w.want(409, "POST", "/v1/x/nodes/n1/release", `{"force":true}`); !strings.Contains(a.text, "ended by itself") {
		t.Errorf("told %s", a.text)
	}
	for _, m := range w.owner.asked {
		if _, ok := m.(node.Release); ok {
			t.Error("another operation was released")
		}
	}
}

// audits are the audit lines of a path.
func audits(t *testing.T, w *world, path string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(w.audit.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if m["path"] == path {
			out = append(out, m)
		}
	}
	return out
}
