// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// starts are the command lines of "ferrite serve" that the packages have.
func starts(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for file, begin := range map[string]string{"ferrite.service": "ExecStart=", "Containerfile": "CMD "} {
		b, err := os.ReadFile(filepath.Join("../../packaging", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			rest, ok := strings.CutPrefix(strings.TrimSpace(line), begin)
			switch {
			case !ok:
			case begin == "CMD ":
				var args []string
				if err := json.Unmarshal([]byte(rest), &args); err != nil {
					t.Fatalf("%s: CMD is no JSON: %v", file, err)
				}
				out[file] = args
			default:
				out[file] = strings.Fields(rest)[1:]
			}
		}
	}
	return out
}

// TestPackagesStartServe: unit and image read the settings file that is installed with them, and name no flag that is gone.
func TestPackagesStartServe(t *testing.T) {
	all := starts(t)
	if len(all) != 2 {
		t.Fatalf("starts %v: wanted one of the unit and one of the image", all)
	}
	for file, args := range all {
		c, rest, err := newRoot().Find(args)
		if err != nil || c.Name() != "serve" {
			t.Errorf("%s: %v is %v, %v: wanted serve", file, args, c.Name(), err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if i := slices.Index(args, "--config"); i < 0 || args[i+1] != "/etc/ferrite/ferrite.yaml" {
			t.Errorf("%s: %v: wanted --config /etc/ferrite/ferrite.yaml", file, args)
		}
	}
}

// TestPackagedSettings: the settings file of the packages is valid as it is, and with every line that waits in a comment.
func TestPackagedSettings(t *testing.T) {
	b, err := os.ReadFile("../../packaging/ferrite.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") {
			line = rest
		}
		open = append(open, line)
	}
	etc := t.TempDir() // in the place of /etc/ferrite
	writePair(t, "c", filepath.Join(etc, "tls.crt"), filepath.Join(etc, "tls.key"))
	if err := os.WriteFile(filepath.Join(etc, "htpasswd"), []byte("admin:$2y$05$"+strings.Repeat("a", 53)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := strings.ReplaceAll(strings.Join(open, ""), "/etc/ferrite/", etc+"/")
	for name, text := range map[string]string{"as it is": string(b), "all of it": all} {
		file := filepath.Join(t.TempDir(), "ferrite.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		root := newRoot()
		root.SetArgs([]string{"config", "check", "--config", file})
		root.SetOut(&out)
		root.SetErr(&out)
		if err := root.Execute(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}

// TestPackageScripts: the scripts of the Debian package parse, and nothing in them deletes state.
func TestPackageScripts(t *testing.T) {
	files, err := filepath.Glob("../../packaging/deb/*")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v: wanted three scripts", files, err)
	}
	for _, file := range files {
		if out, err := exec.Command("sh", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"rm ", "userdel", "deluser"} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s has %q: state and its owner are kept", file, word)
			}
		}
	}
}
