// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/OPERATIONS.md tells in its table of formats what this binary has.
func TestFormatsAreDocumented(t *testing.T) {
	code, out, errOut := ferrite("version", "-o", "json")
	var a about
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || len(a.Formats) != 5 {
		t.Fatalf("%d %v %s%s", code, err, out, errOut)
	}
	page, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "### What the data formats mean\n")
	table, _, ok2 := strings.Cut(table, "\n### ")
	told := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([0-9, ]+) \\|").FindAllStringSubmatch(table, -1) {
		names, numbers := strings.Split(row[1], ", "), strings.Split(row[2], ", ")
		for i := range min(len(names), len(numbers)) {
			told[strings.Trim(names[i], "`")] = numbers[i]
		}
	}
	for what, n := range a.Formats {
		if told[what] != fmt.Sprint(n) {
			t.Errorf("format %s is %d, the page says %q", what, n, told[what])
		}
	}
	if !ok || !ok2 || len(told) != len(a.Formats) {
		t.Errorf("the page tells of %v, the binary of %v", told, a.Formats)
	}
	if _, text, _ := ferrite("version"); !strings.Contains(text, fmt.Sprintf("log %d, peers %d, record %d", a.Formats["log"], a.Formats["peers"], a.Formats["record"])) {
		t.Errorf("version says %s", text)
	}
}
