// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package jsontext

import (
	"encoding/json"
	"testing"
)

func FuzzAppend(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\\n\r\t\x00\x1f", "é\u2028<&>", "\xff\xc3(", "\xf0\x9f\x98\x80\xf0\x9f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back, want string
		if err := json.Unmarshal(Append([]byte(nil), s), &back); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		b, _ := json.Marshal(s)
		_ = json.Unmarshal(b, &want)
		if back != want {
			t.Errorf("%q reads as %q, encoding/json's as %q", s, back, want)
		}
		if x, y := string(Append(nil, s)), string(Append(nil, []byte(s))); x != y {
			t.Errorf("as string %s, as bytes %s", x, y)
		}
	})
}
