// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// layers are a text and all that is packed into it: what is base64 or gzip is opened, and what is in it too.
func layers(t *testing.T, name string, data []byte, depth int, look func(name string, data []byte)) {
	t.Helper()
	look(name, data)
	if depth == 0 {
		return
	}
	if z, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
		if inside, err := io.ReadAll(z); err == nil {
			layers(t, name+" > gzip", inside, depth-1, look)
		}
	}
	for _, run := range regexp.MustCompile(`[A-Za-z0-9+/_-]{12,}`).FindAll(data, -1) {
		std := strings.NewReplacer("-", "+", "_", "/").Replace(string(run))
		for skip := range min(4, len(std)) {
			text := std[skip:]
			if inside, err := base64.RawStdEncoding.DecodeString(text[:len(text)/4*4]); err == nil {
				look(name+" > base64", inside)
				if len(inside) > 2 && inside[0] == 0x1f && inside[1] == 0x8b {
					layers(t, name+" > base64", inside, depth-1, look)
				}
			}
		}
	}
}

// unpack reads a bundle: the files in it by their names without the folder.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 || len(b) > 5<<20 {
			t.Errorf("%s: mode %04o, %d bytes", h.Name, h.Mode, len(b))
		}
		all[filepath.Base(h.Name)] = string(b)
	}
}

// TestSupportBundle plants secrets wherever a conductor has or may meet some, and searches the bundle for each of them.
func TestSupportBundle(t *testing.T) { // L3
	t.Parallel()
	home := t.TempDir()
	secrets := map[string]string{
		"BMC password": "planted-bmc-1a7", "password of an environment variable": "planted-nova-2b8", "password of a flag": "planted-flag-3c9/+",
		"password of a URL": "planted-nats-4d0", "password of a user": "planted-user-5e1", "password of a settings file": "planted-file-6f2",
		"token of a log line": "planted-token-7a3", "private key of a log line": "plantedprivatekey8b4",
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(secrets["password of a user"]), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	secrets["hash of a user"] = string(hash)
	write := func(name, text string) string {
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	users := write("htpasswd", "admin:"+string(hash)+"\n")
	settings := write("ferrite.yaml", "nova:\n  auth_url: http://127.0.0.1:1/v3\n  username: ironic\n  project_name: service\n  password: "+secrets["password of a settings file"]+"\n")
	natsURL := "nats://svc:" + secrets["password of a URL"] + "@127.0.0.1:1" // nobody is there: the log says so, again and again
	pprof := fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))

	s := &site{t: t, dir: filepath.Join(home, "data"), env: []string{"FERRITE_NOVA_PASSWORD=" + secrets["password of an environment variable"]}}
	s.api = fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp"))
	s.args = []string{"--config", settings, "--nats-url", natsURL, "--auth-strategy", "http_basic", "--htpasswd-file", users, "--pprof-listen", pprof}
	s.start()
	listen := strings.TrimPrefix(s.api, "http://")
	s.api = "http://admin:" + secrets["password of a user"] + "@" + listen
	code, doc := s.call("POST", "/v1/nodes", map[string]any{
		"driver": "ipmi", "name": "n1", "extra": map[string]any{"note": "kept"},
		"driver_info": map[string]any{"ipmi_address": "127.0.0.1", "ipmi_port": 1, "ipmi_username": "root", "ipmi_password": secrets["BMC password"]},
	})
	if code != http.StatusCreated {
		t.Fatal(code, doc)
	}
	key, err := os.ReadFile(filepath.Join(s.dir, "cluster.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["cluster key"] = strings.TrimSpace(string(key))
	raw, err := base64.StdEncoding.DecodeString(secrets["cluster key"])
	if err != nil {
		t.Fatal(err)
	}

	until(t, "the audit line and the failure of NATS in the log", func() bool {
		return strings.Contains(s.p.out.String(), `"msg":"audit"`) && strings.Contains(s.p.out.String(), "notifications wait")
	})
	lines := []string{s.p.out.String() + "\n" + `{"level":"INFO","msg":"a line to be kept"}`}
	for what, x := range secrets { // those that can be known, in the middle of anything
		if strings.Contains(what, "BMC") || strings.Contains(what, "log line") {
			continue
		}
		lines = append(lines, "a sentence with "+x+" in it", base64.StdEncoding.EncodeToString([]byte("xy"+x+"z")), "q="+url.QueryEscape(x), hex.EncodeToString([]byte(x)), fmt.Sprintf("%q", "'"+x))
	}
	lines = append(lines, // the others, where secrets stand
		`{"msg":"request","body":"{\"driver_info\":{\"ipmi_password\":\"`+secrets["BMC password"]+`\"}}"}`,
		"ipmi_password="+secrets["BMC password"]+" ipmi_port=1", "ipmitool -H h --password "+secrets["BMC password"],
		"X-Auth-Token: "+secrets["token of a log line"], "GET http://u:"+secrets["token of a log line"]+"@h/", "Authorization: Bearer "+secrets["token of a log line"],
		"-----BEGIN PRIVATE KEY-----", secrets["private key of a log line"], "-----END PRIVATE KEY-----", "the last line")
	log := write("ferrite.log", strings.Join(lines, "\n")+"\n")

	bundle := filepath.Join(home, "s.tar.gz")
	args := []string{
		"support-bundle", bundle, "--name", "c1", "--data-dir", s.dir, "--api-listen", listen, "--config", settings, "--nats-url", natsURL, "--auth-strategy", "http_basic",
		"--htpasswd-file", users, "--pprof-listen", pprof, "--nova-password", secrets["password of a flag"], "--user", "admin", "--log-file", log,
	}
	env := []string{"FERRITE_API_PASSWORD=" + secrets["password of a user"]}
	p := runAs(t, binary, env, args...)
	if code := p.exit(); code != 0 || !strings.Contains(p.out.String(), "without secrets") || !strings.Contains(p.out.String(), "metrics.txt") {
		t.Fatalf("exit code %d:\n%s", code, p.out)
	}
	if info, err := os.Stat(bundle); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the bundle: %v %v", info, err)
	}
	if p := runAs(t, binary, env, args...); p.exit() != 1 || !strings.Contains(p.out.String(), "is there already") {
		t.Errorf("a bundle was replaced without --force:\n%s", p.out)
	}

	files := unpack(t, bundle)
	for name, holds := range map[string]string{
		"CONTENTS.txt": "doctor.json", "doctor.txt": "conductor: ready", "doctor.json": `"findings"`, "settings.json": `"nova.password"`, "versions.json": `"kernel"`,
		"machine.txt": "MemAvailable", "metrics.txt": "conductor_info", "nodes.json": `"nodes": 1`, "conductors.json": "c1", "store.txt": "no problem was found",
		"goroutines.txt": "goroutine ", "log.txt": "a line to be kept", "audit.txt": `"msg":"audit"`,
	} {
		if !strings.Contains(files[name], holds) {
			t.Errorf("%s has no %q: %d bytes\n%s", name, holds, len(files[name]), files["CONTENTS.txt"])
		}
	}
	if n := strings.Count(files["settings.json"], "******"); n != 2 { // nova.password and the one in nats_url
		t.Errorf("%d masks in the settings, wanted 2: more than secrets is missing", n)
	}
	if !strings.HasSuffix(files["log.txt"], "the last line\n") {
		t.Error("the end of the log is missing")
	}
	files["what was printed"] = p.out.String()
	secrets["cluster key's bytes"] = string(raw)
	found := map[string][]string{}
	for name, text := range files {
		layers(t, name, []byte(text), 3, func(where string, data []byte) {
			for what, x := range secrets {
				for _, form := range []string{x, url.QueryEscape(x), hex.EncodeToString([]byte(x))} {
					if bytes.Contains(data, []byte(form)) && !slices.Contains(found[what], where) {
						found[what] = append(found[what], where)
					}
				}
			}
		})
	}
	for what, where := range found {
		t.Errorf("the %s is in %s", what, strings.Join(where, ", "))
	}
}
