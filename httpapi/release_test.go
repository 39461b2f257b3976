// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"ferrite/node"
	"ferrite/persistence"
)

// TestRelease: only by force, with the claim before the end, and it says what it dropped to the client and to the audit.
func TestRelease(t *testing.T) { // S13
	w := newWorld(t)
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
	if n, _ := w.store.Node(id); n.Intent.Released != nil {
		t.Fatal("claimed without force")
	}
	a := w.want(200, "POST", path, `{"force":true}`)
	for key, want := range map[string]string{"node_uuid": id, "node_name": "n1", "verb": "set power", "target": "power on", "conductor": "cond-a"} {
		if got, _ := a.get(key).(string); got != want {
			t.Errorf("%s is %q, wanted %q", key, got, want)
		}
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
	w := newWorld(t)
	id := w.create(`{"driver":"fake-hardware","name":"n1"}`)
	w.owner.open = true
	w.want(202, "PUT", "/v1/nodes/n1/states/power", `{"target":"power on"}`)
	w.owner.before = func(_ string, m node.Msg) (any, error, bool) {
		if _, ok := m.(node.Release); ok { // in between the operation ends and another one begins
			n, _ := w.store.Node(id)
			next := n.Clone()
			next.Intent.ID = "another"
			key := persistence.Key{Kind: persistence.KindNode, ID: id}
			if _, err := w.store.Commit(context.Background(), persistence.Tx{If: []persistence.Cond{{Key: key, Rev: n.Rev}}, Put: []persistence.Put{{Key: key, Value: next, Uniq: []string{"name/n1"}}}}); err != nil {
				t.Error(err)
			}
		}
		return nil, nil, false
	}
	if a := w.want(409, "POST", "/v1/x/nodes/n1/release", `{"force":true}`); !strings.Contains(a.text, "ended by itself") {
		t.Errorf("told %s", a.text)
	}
	if n, _ := w.store.Node(id); n.Intent == nil || n.Intent.ID != "another" {
		t.Errorf("another operation was released: %+v", n.Intent)
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
