// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/json"
	"reflect"
	"testing"

	"ferrite/node"
)

// The decoder of records reads what encoding/json reads, and refuses what it refuses: members of two versions of ferrite must
// come to the same state (L4).
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"UUID":"a","uuid":"b"}`, `{"Extra":{"a":1,"a":{"b":[1e3,-0.5,null]}}}`, `{"Extra":{"A":1},"Extra":{"B":2}}`,
		`{"Traits":null,"Interfaces":{"power":"ipmitool"},"Maintenance":true}`, `{"Name":"\ud800"}`, "{\"Name\":\"\xff\"}", `{"Name":1}`, `{"Maintenance":"yes"}`,
		`{"Intent":{"ID":"x","Steps":[{"Step":"a","Args":{"p":"sealed:"}}]}}`, `{"Extra":{"n":123456789012345}}`, `{"Extra":[]}`, `{"Created":1}x`, `{"Created":-1}`,
		`{"ProvisionUpdatedAt":"2026-01-02T03:04:05Z"}`, `{"ProvisionUpdatedAt":"2026-01-02T03:04:05,5Z"}`, `{"Owner":{"Name":"c1","Epoch":7}}`, `{"Extra":{"":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if longNumber(data) {
			t.Skip("decoded by encoding/json itself")
		}
		var want, got node.Node
		werr, gerr := json.Unmarshal(data, &want), unmarshal(data, &got)
		if (werr == nil) != (gerr == nil) {
			t.Fatalf("encoding/json: %v; ours: %v", werr, gerr)
		}
		if werr == nil && !reflect.DeepEqual(want, got) {
			t.Fatalf("encoding/json: %+v\nours: %+v", want, got)
		}
	})
}
