// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ferrite": main})
}

// TestScripts runs testdata/script: what a user types and what is answered.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			var ports quietPorts // none of the tests that run beside takes it before it is used
			at, err := ports.next("127.0.0.1")
			e.Setenv("CONTROL", at)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitCode,
			"help":     helpHasExample,
			"await":    awaitHTTP,
		},
	})
}

// exitCode N COMMAND... runs a command that must end with that exit code.
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exitcode N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s ended with %d, wanted %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// helpHasExample COMMAND... checks the help of a command.
func helpHasExample(ts *testscript.TestScript, _ bool, args []string) {
	if err := ts.Exec("ferrite", append(args, "--help")...); err != nil {
		ts.Fatalf("ferrite %s --help: %v", strings.Join(args, " "), err)
	}
	out := ts.ReadFile("stdout")
	_, example, ok := strings.Cut(out, "\nExamples:\n")
	if !ok || !strings.Contains(example, "ferrite "+args[0]) {
		ts.Fatalf("ferrite %s --help has no example", strings.Join(args, " "))
	}
	if first, _, _ := strings.Cut(out, "\n"); len(first) < 20 {
		ts.Fatalf("ferrite %s --help begins with %q", strings.Join(args, " "), first)
	}
}

// awaitHTTP URL waits until an address answers with 200.
func awaitHTTP(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		r, err := http.Get(args[0])
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not answer: %v", args[0], err)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	root := newRoot()
	seen := 0
	for _, c := range append(root.Commands(), root) {
		for _, d := range append(c.Commands(), c) {
			seen++
			if !d.Hidden && (d.Example == "" || d.Short == "") {
				t.Errorf("%s: wanted Short and Example", d.CommandPath())
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d commands seen", seen)
	}
}

func TestSelfIsWhatWasTyped(t *testing.T) {
	defer func(old string) { os.Args[0] = old }(os.Args[0])
	for typed, want := range map[string]string{"bin/ferrite": "bin/ferrite", "ferrite": "ferrite"} {
		if os.Args[0] = typed; self() != want {
			t.Errorf("%q became %q", typed, self())
		}
	}
}
