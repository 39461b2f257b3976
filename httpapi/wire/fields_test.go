// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/fields.md anew")

// The table of node fields is Ironic's own, row by row (testdata/node-fields.json: fields of ironic 7bc6aba).
func TestNodeFieldsAreIronics(t *testing.T) {
	data, err := os.ReadFile("testdata/node-fields.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Field, Create, Patch string
		Since                string `json:"min_microversion"`
		Short                bool   `json:"in_short_list"`
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(Nodes.Fields) || len(rows) != 69 {
		t.Errorf("the table has %d fields and Ironic %d, wanted 69", len(Nodes.Fields), len(rows))
	}
	for _, row := range rows {
		f, ok := Nodes.Field(row.Field)
		if !ok {
			t.Errorf("field %s is missing", row.Field)
			continue
		}
		got := fmt.Sprint(VersionString(f.Since), f.Create, f.Patch, f.Short)
		if want := fmt.Sprint(row.Since, row.Create != "no", row.Patch == "yes", row.Short); got != want {
			t.Errorf("field %s is (since create patch short) %s, wanted %s", row.Field, got, want)
		}
	}
}

// docs/fields.md is made from the tables.
func TestDocs(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Fields of the API\n\nThis page is made from the tables in [httpapi/wire](../httpapi/wire); `go test ./httpapi/wire -run Docs -update` writes it anew.\n")
	b.WriteString("*since* is the first microversion that shows and takes the field; *short* says that the plain list has it.\n")
	document(&b, "Nodes", Nodes)
	document(&b, "Ports", Ports)
	document(&b, "Chassis", Chassis)
	document(&b, "Drivers", Drivers)
	document(&b, "Conductors", Conductors)
	document(&b, "History", History)
	const file = "../../docs/fields.md"
	if *update {
		if err := os.MkdirAll("../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s does not say what the tables say: run go test ./httpapi/wire -run Docs -update", file)
	}
}

func document[T any](b *bytes.Buffer, title string, t *Table[T]) {
	fmt.Fprintf(b, "\n## %s\n\n| field | since | type | POST | PATCH | short | sort key |\n|---|---|---|---|---|---|---|\n", title)
	mark := func(v bool) string { return map[bool]string{true: "yes"}[v] }
	for _, f := range t.Fields {
		kind := f.Type
		if f.Hidden {
			kind += ", written only"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", f.Name, VersionString(f.Since), strings.ReplaceAll(kind, "|", "/"),
			mark(f.Create), mark(f.Patch), mark(f.Short), mark(f.Compare != nil))
	}
}
