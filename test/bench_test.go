// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBench runs small benches with the real binary: their results have the promised shape, and can be compared with.
func TestBench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bench := func(args ...string) (string, error) {
		c := exec.Command(binary, append([]string{"bench"}, args...)...)
		var b bytes.Buffer
		c.Stdout, c.Stderr = &b, &b
		err := c.Run()
		return b.String(), err
	}
	for _, x := range []struct {
		args   string
		charts int
		row    string // a row that must be there
		figure string
	}{
		{"sync --bmcs 40 --rounds 2 --against echo,portable,ipmipower --dead 0.1 --interval 500ms", 1, "ferrite, whole conductor, kept sessions", "commits_per_round"},
		{"growth --sizes 20,40 --rounds 2", 3, "ferrite, engine alone, kept sessions, 40", "bytes_per_node"},
		{"commit --rounds 1 --voters 1 --writers 4 --for 50ms --calls 8", 0, "ferrite, voters: 1, writers: 4, at the leader", "commits_per_s"},
		{"api --bmcs 10 --rounds 1 --for 50ms --clients 2", 0, "ferrite, GET one node", "requests_per_s"},
	} {
		name, _, _ := strings.Cut(x.args, " ")
		if out, err := bench(append(strings.Fields(x.args), "--out", dir)...); err != nil {
			t.Fatalf("bench %s: %v\n%s", x.args, err, out)
		}
		kept, _ := filepath.Glob(filepath.Join(dir, "*-"+name+"*.json"))
		if len(kept) != 1 {
			t.Fatalf("bench %s kept %v", name, kept)
		}
		b, err := os.ReadFile(kept[0])
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Bench, Machine string
			Results        []map[string]any
			Ratios         []map[string]any
		}
		if err := json.Unmarshal(b, &doc); err != nil || doc.Bench != name || doc.Machine == "" || len(doc.Ratios) == 0 {
			t.Fatalf("%s: %v\n%s", kept[0], err, b)
		}
		found := false
		for _, row := range doc.Results {
			figures, _ := row["figures"].(map[string]any)
			found = found || row["name"] == x.row && figures[x.figure] != nil
		}
		if name == "sync" && !bytes.Contains(b, []byte(`"ferrite, engine alone, kept sessions, portable socket"`)) {
			t.Errorf("bench sync has nothing of the portable socket:\n%s", b)
		}
		if !found {
			t.Errorf("bench %s has no row %q with %s:\n%s", name, x.row, x.figure, b)
		}
		for _, end := range []string{"svg", "png"} {
			if got, _ := filepath.Glob(filepath.Join(dir, "*-"+name+"-*."+end)); len(got) != x.charts {
				t.Errorf("bench %s drew %v, wanted %d of %s", name, got, x.charts, end)
			}
		}
	}
	if out, err := bench("scale", "--from", dir, "--nodes", "1000000"); err != nil || !strings.Contains(out, "20 cells, 60 conductors") {
		t.Errorf("scale: %v\n%s", err, out)
	}
	if out, err := bench("api", "--bmcs", "11", "--rounds", "1", "--for", "50ms", "--compare", dir); err == nil || !strings.Contains(out, "no kept result") {
		t.Errorf("compared with a fleet of another size: %v\n%s", err, out)
	}
}
