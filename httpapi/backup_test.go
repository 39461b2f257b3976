// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/persistence"
)

// keys is a rotation that answers as it is told.
type keys struct {
	asked []string
	err   error
}

func (k *keys) RotateKey(_ context.Context, file, to string) error {
	k.asked = append(k.asked, file+to)
	return k.err
}
func (k *keys) DropKey(context.Context) error { k.asked = append(k.asked, "drop"); return k.err }
func (k *keys) KeyStatus(context.Context) httpapi.KeyStatus {
	return httpapi.KeyStatus{Key: "aa", Rotating: "bb", Resealed: 3, Left: 4}
}

// broken is a backup that ends early.
type broken struct{}

func (broken) Backup(w io.Writer) (node.Rev, error) {
	_, _ = w.Write(make([]byte, 1<<16))
	return 0, errors.New("the disk is gone")
}

// serveTCP serves over real connections, whose other end is at an address.
func serveTCP(t *testing.T, change func(*httpapi.Config)) string {
	t.Helper()
	w := newWorld(t, change)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.api.Serve(ln) }() // until the world ends
	return "http://" + ln.Addr().String()
}

func fetch(t *testing.T, method, url, user string) (int, []byte, error) {
	t.Helper()
	q, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		q.SetBasicAuth(user, "secret")
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, b, err
}

// A backup is the store's, whole; it is for operators alone, and one that breaks off is not taken for a whole one.
func TestBackup(t *testing.T) { // L5
	store := persistence.NewMemory(persistence.MemoryOptions{})
	with := func(c *httpapi.Config) { c.Backups, c.Secrets = store, &keys{} }
	base := serveTCP(t, with)
	code, body, err := fetch(t, "GET", base+"/v1/x/backup", "")
	var want bytes.Buffer
	if _, werr := store.Backup(&want); werr != nil || err != nil || code != http.StatusOK || !bytes.Equal(body, want.Bytes()) {
		t.Errorf("%d, %d bytes, %v; wanted the %d bytes of the store (%v)", code, len(body), err, want.Len(), werr)
	}
	if code, _, _ := fetch(t, "GET", base+"/v1/x/backup?all=1", ""); code != http.StatusBadRequest {
		t.Errorf("an unknown argument: %d", code)
	}
	base = serveTCP(t, func(c *httpapi.Config) { c.Backups = broken{} })
	if _, body, _ := fetch(t, "GET", base+"/v1/x/backup", ""); len(body) > 1<<16 {
		t.Errorf("%d bytes of a backup that broke off", len(body))
	} else if _, err := persistence.CheckBackup(bytes.NewReader(body), nil, nil); err == nil {
		t.Error("a backup that broke off was taken for a whole one")
	}

	file := filepath.Join(t.TempDir(), "htpasswd")
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("admin:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base = serveTCP(t, func(c *httpapi.Config) { with(c); c.HtpasswdFile = file })
	for user, want := range map[string]int{"": http.StatusUnauthorized, "eve": http.StatusUnauthorized, "admin": http.StatusOK} {
		for _, path := range []string{"/v1/x/backup", "/v1/x/secrets"} {
			if code, _, _ := fetch(t, "GET", base+path, user); code != want {
				t.Errorf("%s for %q: %d, wanted %d", path, user, code, want)
			}
		}
	}
}

// With noauth, only the conductor's own machine may have a backup or touch the key.
func TestOperatorsOnly(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) {
		c.Backups, c.Secrets = persistence.NewMemory(persistence.MemoryOptions{}), &keys{}
	})
	for _, q := range [][2]string{{"GET", "/v1/x/backup"}, {"GET", "/v1/x/secrets"}, {"POST", "/v1/x/secrets/rotate"}} {
		// The world's connections have no TCP address: they are not from this machine as far as the server can tell.
		if a := w.want(http.StatusForbidden, q[0], q[1], ""); !strings.Contains(a.text, "the conductor's own machine") {
			t.Errorf("%s %s: %s", q[0], q[1], a.text)
		}
	}
	w = newWorld(t)
	for _, q := range [][2]string{{"GET", "/v1/x/backup"}, {"GET", "/v1/x/secrets"}, {"POST", "/v1/x/secrets/rotate"}} {
		w.want(http.StatusNotFound, q[0], q[1], "")
	}
}

func TestRotateKey(t *testing.T) { // L3
	k := &keys{}
	base := serveTCP(t, func(c *httpapi.Config) { c.Secrets = k })
	if code, body, _ := fetch(t, "GET", base+"/v1/x/secrets", ""); code != http.StatusOK || string(body) != `{"key":"aa","rotating":"bb","resealed":3,"left":4}` {
		t.Errorf("status: %d %s", code, body)
	}
	for _, c := range []struct {
		body string
		want int
	}{{"", 202}, {`{"key_file":"/etc/new.key"}`, 202}, {`{"key_file":7}`, 400}, {`{"key":"x"}`, 400}, {`{"fingerprint":"cc"}`, 202}} {
		r, err := http.Post(base+"/v1/x/secrets/rotate", "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != c.want {
			t.Errorf("%s: %d, wanted %d", c.body, r.StatusCode, c.want)
		}
	}
	r, err := http.Post(base+"/v1/x/secrets/drop", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 202 {
		t.Errorf("drop: %d", r.StatusCode)
	}
	if !slices.Equal(k.asked, []string{"", "/etc/new.key", "cc", "drop"}) {
		t.Errorf("asked for %q", k.asked)
	}
	k.err = persistence.ErrRotating
	r, err = http.Post(base+"/v1/x/secrets/rotate", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusConflict || !strings.Contains(string(b), "already") {
		t.Errorf("a second rotation: %d %s", r.StatusCode, b)
	}
}
