// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// command runs ferrite to its end and returns what it said and its exit code.
func command(t *testing.T, args ...string) (string, int) {
	t.Helper()
	p := run(t, args...)
	code := p.exit()
	return p.out.String(), code
}

// must runs ferrite and wants it to succeed and to say something.
func must(t *testing.T, say string, args ...string) string {
	t.Helper()
	out, code := command(t, args...)
	if code != 0 || !strings.Contains(out, say) {
		t.Fatalf("ferrite %s: exit code %d, wanted it to say %q:\n%s", strings.Join(args, " "), code, say, out)
	}
	return out
}

// refused runs ferrite and wants it to fail and to say why.
func refused(t *testing.T, say string, args ...string) {
	t.Helper()
	out, code := command(t, args...)
	if code != 1 || !strings.Contains(out, say) {
		t.Errorf("ferrite %s: exit code %d, wanted 1 and %q:\n%s", strings.Join(args, " "), code, say, out)
	}
}

// holders names the files at or below path that hold a text.
func holders(t *testing.T, path, text string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(path, func(file string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(file)
		if bytes.Contains(data, []byte(text)) {
			out = append(out, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBackupAndRestore backs a conductor up while nodes are being made, restores it elsewhere, and goes on there.
func TestBackupAndRestore(t *testing.T) { // L3, L5
	t.Parallel()
	const secret = "planted-5f1c2a"
	f := newFarm(t, 2, "--password", secret)
	s := newSite(t, "--ipmi-min-command-interval", "0")
	info := func(i int) map[string]any {
		m := f.driverInfo(i)
		m["ipmi_password"] = secret
		return m
	}
	for i := range 2 {
		s.enroll(fmt.Sprintf("bmc%d", i), info(i))
	}
	s.power("bmc0", "power on")
	s.await("bmc0", power("power on"))

	var mu sync.Mutex // guards acked
	var acked []string
	var stop atomic.Bool
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				name := fmt.Sprintf("w%d-%d", w, i)
				code, doc, err := s.try("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": name, "driver_info": map[string]any{"ipmi_password": secret}})
				if err != nil || code != http.StatusCreated {
					t.Errorf("creating %s: %d %v %v", name, code, doc, err)
					return
				}
				mu.Lock()
				acked = append(acked, name)
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	until(t, "100 nodes", func() bool { return count() >= 100 })
	mu.Lock()
	before := slices.Clone(acked)
	mu.Unlock()
	home := t.TempDir()
	file, dir, key := filepath.Join(home, "ferrite.backup"), filepath.Join(home, "restored"), filepath.Join(s.dir, "cluster.key")
	must(t, "restoring it needs the cluster key with fingerprint", "backup", file, "--api-url", s.api)
	after := count()
	stop.Store(true)
	writers.Wait()
	if after == len(before) {
		t.Error("no node was made during the backup")
	}
	states := map[string]string{}
	for _, n := range append(before, "bmc0", "bmc1") {
		states[n] = s.node(n)["provision_state"].(string)
	}
	s.p.kill()

	if found := append(holders(t, file, secret), holders(t, s.dir, secret)...); len(found) > 0 {
		t.Errorf("the password is in clear in %v", found)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if found := holders(t, file, strings.TrimSpace(string(text))); len(found) > 0 {
		t.Error("the backup holds the cluster key")
	}
	must(t, "is in order", "verify", file, "--cluster-key-file", key)
	must(t, "is in order", "verify", s.dir, "--cluster-key-file", key)

	other := filepath.Join(home, "other.key")
	made, _ := command(t, "cluster", "key")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"other.key": []byte(made), "cut": good[:len(good)-100], "flipped": flipped} {
		if err := os.WriteFile(filepath.Join(home, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "wanted the key with fingerprint", "restore", file, "--data-dir", dir, "--cluster-key-file", other)
	refused(t, fmt.Sprintf("damaged at byte %d", len(good)-100), "restore", filepath.Join(home, "cut"), "--data-dir", dir, "--cluster-key-file", key)
	refused(t, "damaged at byte", "verify", filepath.Join(home, "flipped"))
	refused(t, "is not empty", "restore", file, "--data-dir", s.dir, "--cluster-key-file", key)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a refused restore left its folder: %v", err)
	}
	must(t, "next: ferrite serve", "restore", file, "--data-dir", dir, "--cluster-key-file", key, "--name", "c1")

	n := &site{t: t, dir: dir, api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp")), args: append(s.args, "--cluster-key-file", key)}
	n.start()
	h := n.listen()
	for name, state := range states {
		if got := n.node(name)["provision_state"]; got != state {
			t.Errorf("node %s is %v, wanted %s", name, got, state)
		}
	}
	n.await("bmc0", power("power on"))
	n.power("bmc0", "power off")
	n.await("bmc0", power("power off"))
	if got := f.commands(0); !slices.Equal(got, []string{"power on", "power off"}) {
		t.Errorf("the BMC was told %q: the password works, and nothing is repeated", got)
	}
	until(t, "the notifications of the restored conductor", func() bool {
		return slices.Contains(h.events(n.node("bmc0")["uuid"].(string)), "node.power_set.end")
	})
	n.p.kill()
	if found := holders(t, dir, secret); len(found) > 0 {
		t.Errorf("the password is in clear in %v", found)
	}
}

// TestSecretsStaySealed plants a password in the places that secrets belong to (extra and properties are shown to all,
// as in Ironic), and looks for it in all that a conductor
// writes, answers and tells, before and after the key is rotated.
func TestSecretsStaySealed(t *testing.T) { // L3
	t.Parallel()
	const secret = "planted-77d0e4"
	f := newFarm(t, 2, "--password", secret)
	debug := fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	s := newSite(t, "--ipmi-min-command-interval", "0", "--sync-power-state-interval", "1s", "--log-level", "debug", "--notification-level", "debug", "--pprof-listen", debug,
		"--nova-auth-url", "http://127.0.0.1:1/v3", "--nova-username", "ironic", "--nova-project-name", "service", "--nova-password", secret)
	h := s.listen()
	info := f.driverInfo(0)
	info["ipmi_password"] = secret
	s.enroll("good", info)
	s.power("good", "power on")
	s.await("good", power("power on"))
	wrong := f.driverInfo(1)
	wrong["ipmi_password"] = secret + "-wrong"
	s.call("POST", "/v1/nodes", map[string]any{"driver": "ipmi", "name": "wrong", "driver_info": wrong})
	s.call("PUT", "/v1/nodes/wrong/states/provision", map[string]any{"target": "manage"})
	s.await("wrong", map[string]any{"provision_state": "enroll", "target_provision_state": nil})
	s.call("POST", "/v1/nodes", map[string]any{
		"driver": "fake-hardware", "name": "deep", "driver_info": map[string]any{"ipmi_password": secret, "list": []any{map[string]any{"auth_token": secret}}},
	})
	s.call("PATCH", "/v1/nodes/deep", []map[string]any{{"op": "add", "path": "/instance_info", "value": map[string]any{"root_password": secret}}, {"op": "add", "path": "/no_such", "value": map[string]any{"password": secret}}})
	s.call("PATCH", "/v1/nodes/deep", []map[string]any{{"op": "add", "path": "/instance_info/root_password", "value": secret}})
	s.call("PUT", "/v1/nodes/deep/states/provision", map[string]any{"target": "manage", "clean_steps": []any{map[string]any{"step": "x", "interface": "deploy", "args": map[string]any{"password": secret}}}})
	file := filepath.Join(t.TempDir(), "a.backup")
	look := func(when string) {
		t.Helper()
		for _, path := range []string{
			s.api + "/v1/nodes/detail", s.api + "/v1/nodes/good", s.api + "/v1/nodes/deep", s.api + "/v1/nodes/wrong/history/detail", s.api + "/metrics",
			s.api + "/v1/x/notifications?from=oldest", "http://" + debug + "/debug/pprof/goroutine?debug=2", "http://" + debug + "/debug/pprof/heap?debug=1", "http://" + debug + "/debug/pprof/cmdline",
		} {
			q, _ := http.NewRequest("GET", path, nil)
			q.Header.Set("X-OpenStack-Ironic-API-Version", "1.89")
			r, err := http.DefaultClient.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil || r.StatusCode != http.StatusOK || len(body) == 0 {
				t.Errorf("%s: %d, %d bytes, %v", path, r.StatusCode, len(body), err)
			}
			if bytes.Contains(body, []byte(secret)) {
				t.Errorf("%s: GET %s shows the password", when, path)
			}
		}
		if found := append(holders(t, s.dir, secret), holders(t, file, secret)...); len(found) > 0 {
			t.Errorf("%s: the password is in clear in %v", when, found)
		}
		if strings.Contains(s.p.out.String(), secret) {
			t.Errorf("%s: the password is in the log", when)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.all) == 0 {
			t.Errorf("%s: no notification was heard", when)
		}
		for _, m := range h.all {
			if bytes.Contains(m.Data, []byte(secret)) {
				t.Errorf("%s: a notification tells the password: %s", when, m.Data)
			}
		}
	}
	must(t, "restoring it needs", "backup", file, "--api-url", s.api)
	look("at first")

	key := filepath.Join(s.dir, "cluster.key")
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	must(t, "nothing is sealed with", "secrets", "rotate", "--api-url", s.api)
	now, err := os.ReadFile(key)
	if err != nil || bytes.Equal(now, old) {
		t.Fatalf("the key file was not replaced: %v", err)
	}
	kept, err := filepath.Glob(key + ".old-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("the old key was not kept: %v, %v", kept, err)
	}
	mine := filepath.Join(t.TempDir(), "mine.key")
	made, _ := command(t, "cluster", "key")
	if err := os.WriteFile(mine, []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "kept in "+key, "secrets", "rotate", "--new-key-file", mine, "--api-url", s.api)
	look("after the rotations")
	s.power("good", "power off")
	s.await("good", power("power off"))
	s.p.kill()
	if out, code := command(t, "serve", "--data-dir", s.dir, "--name", "c1", "--api-listen", "127.0.0.1:0", "--cluster-key-file", kept[0]); code != 1 || !strings.Contains(out, "wanted the key with fingerprint") {
		t.Errorf("serve with the old key: exit code %d:\n%s", code, out)
	}
	must(t, "all opened with the key given", "verify", s.dir, "--cluster-key-file", mine)
	s.start()
	s.power("good", "power on")
	s.await("good", power("power on"))
	look("after a restart")
}

// TestRotationSurvivesKill kills the conductor right after it has taken the order; the next start finishes it.
func TestRotationSurvivesKill(t *testing.T) { // L3
	t.Parallel()
	s := newSite(t)
	for i := range 50 {
		if code, doc := s.call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("n%d", i), "driver_info": map[string]any{"ipmi_password": "x"}}); code != http.StatusCreated {
			t.Fatalf("POST node: %d %v", code, doc)
		}
	}
	key := filepath.Join(s.dir, "cluster.key")
	_, doc := s.call("GET", "/v1/x/secrets", nil)
	for round := range 3 {
		was := doc["key"]
		if code, doc := s.call("POST", "/v1/x/secrets/rotate", map[string]any{}); code != http.StatusAccepted {
			t.Fatalf("round %d: %d %v", round, code, doc)
		}
		s.p.kill()
		s.start()
		until(t, "the end of the rotation", func() bool {
			_, doc = s.call("GET", "/v1/x/secrets", nil)
			return doc["rotating"] == nil
		})
		if doc["key"] == was {
			t.Errorf("round %d: the key is still %v", round, was)
		}
	}
	s.p.kill()
	out := must(t, "50 secrets, all opened with the key given", "verify", s.dir, "--cluster-key-file", key)
	if !strings.Contains(out, "50 nodes") {
		t.Errorf("verify says: %s", out)
	}
}
