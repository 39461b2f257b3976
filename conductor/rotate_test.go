// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ferrite/cluster"
	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// keyFile writes a key file, a key in each line, and returns its name.
func keyFile(t *testing.T, file string, lines ...string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func fingerOf(t *testing.T, text string) string {
	t.Helper()
	key, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := persistence.Fingerprint(key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func keyStatus(t *testing.T, c *Conductor) (s httpapi.KeyStatus) {
	t.Helper()
	if code, text := ask(t, c, "GET", "/v1/x/secrets", ""); code != 200 || json.Unmarshal([]byte(text), &s) != nil {
		t.Fatalf("%d %s", code, text)
	}
	return s
}

// L3: an operator's way to another cluster key of three conductors: files, reload, rotate, drop. Changes go on meanwhile, the bus
// is one at the end, the files hold the new key alone, and who comes with the old one is told which is wanted.
func TestRotateThreeConductors(t *testing.T) {
	net, dir := cluster.NewNetwork(), t.TempDir()
	old, fresh := NewKey(), NewKey()
	var log lines
	var cs []*Conductor
	var cfgs []Config
	var join []string
	for _, name := range []string{"c1", "c2", "c3"} {
		cfg := oneOf(t, net, name, join...)
		cfg.KeyFile = keyFile(t, filepath.Join(dir, name), "# of the test", old)
		keys, err := ReadKeys(cfg.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Key, cfg.Logger = keys[0], slog.New(slog.NewTextHandler(&log, nil))
		c := start(t, cfg)
		cs, cfgs, join = append(cs, c), append(cfgs, cfg), []string{c.membership.Addr()}
		if name == "c1" {
			until(t, "it leads", func() bool { _, _, leads := c.store.Role(); return leads })
		}
	}
	const nodes = 12
	for i := range nodes {
		body := fmt.Sprintf(`{"name":"n%d","driver":"fake-hardware","driver_info":{"ipmi_password":"secret-%d"}}`, i, i)
		if code, text := ask(t, cs[i%3], "POST", "/v1/nodes", body); code != 201 {
			t.Fatalf("%d %s", code, text)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var writers sync.WaitGroup
	var writes atomic.Int64
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				code, text := ask(t, cs[(w+i)%3], "PATCH", fmt.Sprintf("/v1/nodes/n%d", w), fmt.Sprintf(`[{"op":"add","path":"/extra/i","value":%d}]`, i))
				if code != 200 {
					t.Errorf("a change during the rotation: %d %s", code, text)
					return
				}
				writes.Add(1)
			}
		})
	}
	more := func() {
		was := writes.Load()
		until(t, "changes go on", func() bool { return writes.Load() > was+4 })
	}
	more()
	refused := func(path, want string) {
		t.Helper()
		if code, text := ask(t, cs[1], "POST", path, ""); code != 409 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, wanted %q", path, code, text, want)
		}
	}
	refused("/v1/x/secrets/rotate", "there is no other key")
	refused("/v1/x/secrets/drop", "no key is to be dropped")
	for i, c := range cs {
		keyFile(t, cfgs[i].KeyFile, "# of the test", old, fresh)
		if err := c.Reload(c.cfg); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if s := keyStatus(t, c); s.Advice != "give "+fingerOf(t, fresh)+" to c3 too: on a line of its own below the present one in the cluster_key_file, then reload" {
				t.Errorf("the next step is %q", s.Advice)
			}
			refused("/v1/x/secrets/rotate", "not known to c3")
		}
	}
	if s := keyStatus(t, cs[2]); len(s.Members) != 3 || s.Key != fingerOf(t, old) || !strings.Contains(s.Advice, "ferrite secrets rotate") {
		t.Errorf("when all know the new key: %+v", s)
	}
	refused(`/v1/x/secrets/rotate?key_file=/etc/new.key`, "not read from a file")
	if code, text := ask(t, cs[2], "POST", "/v1/x/secrets/rotate", ""); code != 202 {
		t.Fatalf("%d %s", code, text)
	}
	until(t, "all is sealed anew", func() bool { return keyStatus(t, cs[0]).Old != "" })
	if s := keyStatus(t, cs[0]); s.Key != fingerOf(t, fresh) || s.Rotating != "" || s.Old != fingerOf(t, old) || s.Left != 0 || s.Resealed == 0 || !strings.Contains(s.Advice, "ferrite secrets drop") {
		t.Errorf("when all is sealed anew: %+v", s)
	}
	keyFile(t, cfgs[0].KeyFile, fresh) // too early: it is still needed
	if err := cs[0].Reload(cs[0].cfg); err == nil || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("the old key was taken out before it was dropped: %v", err)
	}
	keyFile(t, cfgs[0].KeyFile, "# of the test", old, fresh)
	more()
	if code, text := ask(t, cs[1], "POST", "/v1/x/secrets/drop", ""); code != 202 {
		t.Fatalf("%d %s", code, text)
	}
	until(t, "the old key is dropped", func() bool { s := keyStatus(t, cs[2]); return s.Phase == "" && s.Rotating == "" })
	more()
	end()
	writers.Wait()
	for i, c := range cs {
		if text, err := os.ReadFile(cfgs[i].KeyFile); err != nil || string(text) != fresh+"\n# of the test\n" {
			t.Errorf("the file of %s holds %d bytes, %v", c.cfg.Name, len(text), err)
		}
		if text, err := os.ReadFile(cfgs[i].KeyFile + ".old-" + fingerOf(t, old)); err != nil || string(text) != old+"\n" {
			t.Errorf("beside the file of %s: %v", c.cfg.Name, err)
		}
		until(t, "it knows the others", func() bool {
			m, _ := c.membership.View().Find("c1")
			return len(c.membership.View().Members) == 3 && m.Keys == fingerOf(t, fresh)[:8]
		})
		read := 0
		c.store.Nodes(nil, func(n *node.Node) bool {
			if n.DriverInfo["ipmi_password"] == "secret-"+strings.TrimPrefix(n.Name, "n") {
				read++
			}
			return true
		})
		if read != nodes {
			t.Errorf("%s reads %d of %d secrets", c.cfg.Name, read, nodes)
		}
	}
	theBusIsOne(t, cs)
	stop(t, cs[2])
	late := cfgs[2]
	late.Key, late.KeyFile = mustKey(t, old), ""
	if c, err := Start(t.Context(), late); err == nil || !strings.Contains(err.Error(), fingerOf(t, fresh)) || !strings.Contains(err.Error(), fingerOf(t, old)) {
		t.Errorf("back with the old key: %v, %v", c, err)
	}
	late.DataDir = t.TempDir()
	ctx, end = context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, late)
		ended <- err
	}()
	for _, here := range []string{fingerOf(t, fresh)[:8], fingerOf(t, old)[:8]} {
		until(t, "the side with "+here+" says so", func() bool {
			return log.has("somebody with another cluster key", "keys_here="+here)
		})
	}
	end()
	if err := <-ended; err == nil {
		t.Error("a conductor with the old key joined")
	}
	late.Key = mustKey(t, fresh)
	start(t, late)
}

func mustKey(t *testing.T, text string) []byte {
	t.Helper()
	key, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// theBusIsOne waits until a subscriber at each conductor hears of a change at another one.
func theBusIsOne(t *testing.T, cs []*Conductor) {
	t.Helper()
	for i, c := range cs {
		conn, err := nats.Connect(c.NATSURL())
		if err != nil {
			t.Fatal(err)
		}
		sub, err := conn.SubscribeSync("ironic_versioned_notifications.>")
		if err != nil {
			t.Fatal(err)
		}
		until(t, c.cfg.Name+" hears what the others tell", func() bool {
			ask(t, cs[(i+1)%3], "PUT", "/v1/nodes/n3/maintenance", `{"reason":"x"}`)
			ask(t, cs[(i+1)%3], "DELETE", "/v1/nodes/n3/maintenance", "")
			_, err := sub.NextMsg(100 * time.Millisecond)
			return err == nil
		})
		conn.Close()
	}
}

// A lone conductor rotates to the other key of its file, if there is one.
func TestRotateToTheOtherKeyOfTheFile(t *testing.T) {
	cfg := settings(t)
	old, fresh, third := NewKey(), NewKey(), NewKey()
	cfg.KeyFile = keyFile(t, filepath.Join(t.TempDir(), "key"), old, fresh, third)
	cfg.Key, cfg.Keys = mustKey(t, old), [][]byte{mustKey(t, fresh), mustKey(t, third)}
	c := start(t, cfg)
	if err := c.keys.RotateKey(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "several other keys") {
		t.Errorf("with two others: %v", err)
	}
	if err := c.keys.RotateKey(t.Context(), "", "x"); err == nil || !strings.Contains(err.Error(), "alone") {
		t.Errorf("with a fingerprint: %v", err)
	}
	keyFile(t, cfg.KeyFile, old, fresh)
	if err := c.Reload(c.cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.keys.RotateKey(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "it has rotated", func() bool { return c.keys.KeyStatus(t.Context()).Rotating == "" })
	if text, err := os.ReadFile(cfg.KeyFile); err != nil || string(text) != fresh+"\n" {
		t.Errorf("the file holds %d bytes, %v", len(text), err)
	}
	keyFile(t, cfg.KeyFile, third) // a lone conductor has always passed this over
	if err := c.Reload(c.cfg); err != nil {
		t.Errorf("reload with another key in the file: %v", err)
	}
	stop(t, c)
	cfg.Key, cfg.Keys = mustKey(t, old), [][]byte{mustKey(t, fresh)} // whichever order: the folder knows
	start(t, cfg)
}

func TestKeyFiles(t *testing.T) {
	a, b := NewKey(), NewKey()
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{
		"":                                   "found 0 keys",
		"# nothing\n":                        "found 0 keys",
		a + "\n" + a + "\n":                  "line 2: this key is there already",
		a + "\n\nxyz\n":                      "line 3: wanted 32 bytes",
		strings.Repeat(NewKey()+"\n", 1) + a: "",
		"# c\n\n " + a + " \n" + b:           "",
		a + "\n" + b + "\n" + NewKey() + "\n" + NewKey() + "\n" + NewKey(): "found 5 keys, wanted 1 to 4",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(file)
		if want == "" && (err != nil || len(keys) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file)) {
			t.Errorf("%d keys, %v, wanted %q", len(keys), err, want)
		}
		if err != nil && strings.Contains(err.Error(), a) {
			t.Error("an error shows a key")
		}
	}
	if _, err := ReadKeys(file + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
	// What cannot be written is said, with what the operator has to do.
	k := &keyring{file: filepath.Join(t.TempDir(), "none", "key"), log: slog.New(slog.DiscardHandler)}
	k.drop(mustKey(t, a), mustKey(t, b))
	if !strings.Contains(k.advice, "take out the one with "+fingerOf(t, a)) || !strings.Contains(k.advice, k.file) {
		t.Errorf("the advice is %q", k.advice)
	}
}
