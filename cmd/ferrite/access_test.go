// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestEveryCommandAsksTheSameAPI has FERRITE_API and its siblings in the environment: no command may ask another
// conductor than "ferrite node" does, nor need a password on its command line.
func TestEveryCommandAsksTheSameAPI(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FERRITE_API", s.URL)
	t.Setenv("FERRITE_API_USER", "ada")
	t.Setenv("FERRITE_API_PASSWORD", "engine")
	t.Setenv("FERRITE_API_CA", ca)
	for _, line := range []string{
		"node list", "cluster members", "backup " + filepath.Join(dir, "x.backup"), "secrets status", "secrets rotate",
		"notifications replay --from oldest", "secrets status --api " + s.URL + "/v1", "secrets status --api-url " + s.URL,
	} {
		asked.Store(nil)
		root := newRoot()
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		err := root.ExecuteContext(t.Context())
		r := asked.Load()
		if r == nil {
			t.Errorf("ferrite %s: asked nobody: %v", line, err)
			continue
		}
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "engine" || !strings.HasPrefix(r.URL.Path, "/v1/") || strings.Contains(r.URL.Path, "/v1/v1") {
			t.Errorf("ferrite %s: asked %s as %q with password %q", line, r.URL.Path, user, password)
		}
	}
}

// Who has not named the certificate's authority is told how.
func TestUnknownAuthorityIsExplained(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	t.Setenv("FERRITE_API", s.URL)
	t.Setenv("FERRITE_API_CA", "")
	wantLine(t, "node list", 1, "name the authority's PEM file by --ca-file or FERRITE_API_CA")
}
