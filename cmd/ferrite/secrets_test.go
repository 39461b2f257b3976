// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSecretsStatusTellsPrograms(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/x/secrets" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = io.WriteString(w, `{"key":"aa","rotating":"bb","resealed":3,"left":4}`)
	}))
	t.Cleanup(s.Close)
	t.Setenv("FERRITE_API", s.URL)
	for form, want := range map[string]string{"text": "rotating from bb, 3 records sealed anew, 4 left\n", "json": `"left": 4,`, "yaml": "left: 4\n"} {
		if code, out, errOut := ferrite("secrets", "status", "-o", form); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s%s", form, code, out, errOut)
		}
	}
	if code, _, _ := ferrite("secrets", "status", "-o", "xml"); code != exitUsage {
		t.Errorf("-o xml ends with %d", code)
	}
}
