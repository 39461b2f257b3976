// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestUsersAreToldOfEverything: docs/BMCS.md has a row for each fault, which says what the code says, and for each key of the
// control API.
func TestUsersAreToldOfEverything(t *testing.T) {
	b, err := os.ReadFile("../docs/BMCS.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, f := range Faults() {
		if row := "\n| `" + string(f) + "` | " + f.Does() + " | "; !strings.Contains(text, row) {
			t.Errorf("docs/BMCS.md has no row that begins with %q", strings.TrimSpace(row))
		}
	}
	keys := reflect.TypeFor[change]()
	for i := range keys.NumField() {
		if row := "\n| `" + keys.Field(i).Tag.Get("json") + "` | "; !strings.Contains(text, row) {
			t.Errorf("docs/BMCS.md has no row that begins with %q", strings.TrimSpace(row))
		}
	}
	if Fault("none").Does() != "" || Fault("none").valid() == nil {
		t.Error("there is a fault that is not in the list")
	}
}
