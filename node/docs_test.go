// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/fsm.md anew")

// TestDocsAreTheTable holds docs/fsm.md against the table that the code runs on; -update writes it.
func TestDocsAreTheTable(t *testing.T) {
	path := filepath.Join("..", "docs", "fsm.md")
	want := fsmPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table in node/fsm.go says: run go test ./node -run Docs -update", path)
	}
}

// fsmPage is the page: diagram, states, transitions, verbs.
func fsmPage() string {
	var b strings.Builder
	b.WriteString(`# The provision state machine

This page is made from the table in [node/fsm.go](../node/fsm.go); ` + "`go test ./node -run Docs -update`" + ` writes it anew.
A test compares the same table with Ironic's, row by row.

`)
	b.WriteString("```mermaid\nstateDiagram-v2\n  [*] --> enroll\n")
	for _, s := range stateOrder {
		fmt.Fprintf(&b, "  state %q as %s\n", s, id(s))
	}
	for _, s := range stateOrder {
		for _, ev := range slices.Sorted(maps.Keys(fsm[s].Events)) {
			fmt.Fprintf(&b, "  %s --> %s: %s\n", id(s), id(fsm[s].Events[ev]), ev)
		}
	}
	b.WriteString("```\n\n## States\n\n")
	b.WriteString(`* **stable**: may be a target; nothing is under way.
* **unstable**: on the list that decides between start and end of provision_set notifications.
* **target**: target_provision_state on the way. **patch**: PATCH is allowed although a target is set.
* **no sync**: the power sync passes by. **stuck**: without a recorded operation it ends by event fail at a start.

| state | kind | target | patch | no sync | stuck |
|---|---|---|---|---|---|
`)
	for _, s := range stateOrder {
		f := fsm[s]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", s, kind(f), f.Target, mark(f.Patch), mark(f.NoSync), mark(f.Stuck))
	}
	b.WriteString("\n## Transitions\n\n| from | event | to | provision_set |\n|---|---|---|---|\n")
	for _, s := range stateOrder {
		for _, ev := range slices.Sorted(maps.Keys(fsm[s].Events)) {
			to := fsm[s].Events[ev]
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s, ev, to, provisionStatus(s, to, ev))
		}
	}
	b.WriteString("\n## Verbs of PUT states/provision\n\n| target | event | since | from |\n|---|---|---|---|\n")
	for _, v := range slices.Sorted(maps.Keys(verbs)) {
		var from []string
		for _, s := range stateOrder {
			if _, ok := Next(s, verbs[v].Event); ok && !internalEvent(s, verbs[v].Event) {
				name := string(s)
				if since, ok := verbs[v].States[s]; ok && since != verbs[v].Since {
					name += fmt.Sprintf(" (1.%d)", since)
				}
				from = append(from, name)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | 1.%d | %s |\n", v, verbs[v].Event, verbs[v].Since, strings.Join(from, ", "))
	}
	return b.String()
}

// id is a state's name as mermaid takes it.
func id(s State) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(string(s)) }

func mark(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func kind(f stateFacts) string {
	var words []string
	for _, k := range []struct {
		is   bool
		word string
	}{{f.Stable, "stable"}, {f.Unstable, "unstable"}, {f.Failure, "failure"}, {f.Wait, "wait"}, {f.Hold, "hold"}} {
		if k.is {
			words = append(words, k.word)
		}
	}
	return strings.Join(words, ", ")
}
