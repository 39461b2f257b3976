// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"ferrite/client"
)

// TestRelease asks with and without force, over TLS whose authority only WithRoots makes known.
func TestRelease(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b struct{ Force bool }
		_ = json.NewDecoder(r.Body).Decode(&b)
		if r.Method != http.MethodPost || r.URL.Path != "/v1/x/nodes/n1/release" || !b.Force {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"node_uuid":"u","node_name":null,"verb":"set power","target":"power on","since":"2026-01-02T03:04:05Z"}`)
	}))
	defer s.Close()
	if _, err := client.New(s.URL).Release(t.Context(), "n1", true); err == nil || client.Status(err) != 0 {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c := client.New(s.URL, client.WithRoots(pool))
	if _, err := c.Release(t.Context(), "n1", false); client.Status(err) != http.StatusBadRequest {
		t.Errorf("without force: %v", err)
	}
	got, err := c.Release(t.Context(), "n1", true)
	if err != nil || got.Node != "u" || got.Verb != "set power" || got.Target != "power on" || got.Since == nil || got.Since.Year() != 2026 {
		t.Errorf("by force: %+v, %v", got, err)
	}
}
