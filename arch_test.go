// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ferrite_test

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestHouse holds every Go file of the module against the map in archmap_test.go.
func TestHouse(t *testing.T) {
	wrong, err := check(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// TestMapPointsDown: the map itself allows no import upwards and none between peers.
func TestMapPointsDown(t *testing.T) {
	for _, w := range checkHouse(house) {
		t.Error(w)
	}
	bad := map[string]place{
		"low": {0, []string{"high"}, "why"}, "high": {2, []string{"peer", "gone"}, "why"}, "peer": {2, nil, ""},
	}
	want := []string{"high -> peer: peers do not import each other", "high -> gone: has no row", "low -> high: points up", "peer: no reason"}
	if got := checkHouse(bad); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestCheckSeesEveryPackage: a walk that finds nothing finds nothing wrong.
func TestCheckSeesEveryPackage(t *testing.T) {
	packages, _, err := parse(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"", "node", "bmc/ipmi", "cmd/ferrite", "internal/config"} {
		if len(packages[pkg]) == 0 {
			t.Errorf("no file of package %q was read", pkg)
		}
	}
}

// TestPlantedViolations: each rule is broken once in a tree that is otherwise good, and the one thing wrong is found.
func TestPlantedViolations(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"nothing", "node/a.go", "package node\n\nimport \"strings\"\n\nvar _ = strings.ToUpper", ""},
		{"upwards", "bmc/a.go", "package bmc\n\nimport _ \"ferrite/actors\"", "bmc/a.go:6:8: bmc may not import actors: "},
		{"peers", "httpapi/a.go", "package httpapi\n\nimport _ \"ferrite/actors\"", "httpapi may not import actors: "},
		{"drivers", "bmc/ipmi/a.go", "package ipmi\n\nimport _ \"ferrite/bmc/fake\"", "bmc/ipmi may not import bmc/fake: "},
		{"a driver by a user of its contract", "actors/a.go", "package actors\n\nimport _ \"ferrite/bmc/ipmi\"", "actors may not import bmc/ipmi: "},
		{"simulator in the product", "conductor/a.go", "package conductor\n\nimport _ \"ferrite/sim\"", "conductor may not import sim: "},
		{"under another name", "node/a.go", "package node\n\nimport inv \"ferrite/inventory\"\n\nvar _ inv.Port", "node may not import inventory: "},
		{"on another system", "bmc/a_windows.go", "package bmc\n\nimport _ \"ferrite/actors\"", "bmc may not import actors: "},
		{"of the root", "a.go", "package ferrite\n\nimport _ \"ferrite/node\"", " may not import node: "},
		{"internal may be used", "sim/a.go", "package sim\n\nimport _ \"ferrite/internal/config\"", ""},
		{"internal uses nothing", "internal/config/a.go", "package config\n\nimport _ \"ferrite/node\"", "internal packages import nothing of ours"},
		{"internal uses no internal", "internal/config/a.go", "package config\n\nimport _ \"ferrite/internal/udpbatch\"", "internal packages import nothing of ours"},
		{"tests are exempt", "node/a_test.go", "package node\n\nimport _ \"ferrite/conductor\"\nimport _ \"os\"", ""},
		{"testdata is no code", "node/testdata/a.go", "package rubbish", ""},

		{"raft", "actors/a.go", "package actors\n\nimport _ \"github.com/hashicorp/raft\"", "github.com/hashicorp/raft is for persistence alone: "},
		{"raft where it belongs", "persistence/a.go", "package persistence\n\nimport _ \"github.com/hashicorp/raft\"", ""},
		{"badger by version", "conductor/a.go", "package conductor\n\nimport _ \"github.com/dgraph-io/badger/v4\"", "github.com/dgraph-io/badger is for persistence alone: "},
		{"go-ipmi", "bmc/a.go", "package bmc\n\nimport _ \"github.com/bougou/go-ipmi/pkg/types\"", "github.com/bougou/go-ipmi is for bmc/ipmi, sim alone: "},
		{"protoactor", "conductor/a.go", "package conductor\n\nimport _ \"github.com/asynkron/protoactor-go/actor\"", "protoactor-go is for actors, cluster alone: "},
		{"NATS", "actors/a.go", "package actors\n\nimport _ \"github.com/nats-io/nats.go\"", "github.com/nats-io is for notify, notify/embedded alone: "},
		{"a longer name is another module", "actors/a.go", "package actors\n\nimport _ \"github.com/nats-iodine/x\"", ""},

		{"network in the rules", "node/a.go", "package node\n\nimport _ \"net\"", "node may not import net: "},
		{"disk in the rules", "inventory/a.go", "package inventory\n\nimport _ \"os\"", "inventory may not import os: "},
		{"chance in the rules", "node/a.go", "package node\n\nimport _ \"math/rand/v2\"", "node may not import math/rand/v2: "},
		{"library in the rules", "node/a.go", "package node\n\nimport _ \"github.com/google/uuid\"", "node may not import github.com/google/uuid: "},
		{"clock", "node/a.go", "package node\n\nimport \"time\"\n\nvar _ = time.Now()", "node/a.go:8:9: time.Now: "},
		{"clock as a value", "node/a.go", "package node\n\nimport \"time\"\n\nvar _ = time.Since", "time.Since: "},
		{"clock by another name", "inventory/a.go", "package inventory\n\nimport t \"time\"\n\nfunc f() { t.Sleep(1) }", "time.Sleep: "},
		{"durations are no clock", "node/a.go", "package node\n\nimport \"time\"\n\nconst d = 2 * time.Second", ""},
		{"a clock where it is allowed", "actors/a.go", "package actors\n\nimport \"time\"\n\nvar _ = time.Now()", ""},
		{"goroutine in the rules", "node/a.go", "package node\n\nfunc f() { go f() }", "go statement: "},
		{"dot import in the rules", "node/a.go", "package node\n\nimport . \"time\"\n\nvar _ = Now()", "a dot import hides"},

		{"no row", "helpers/doc.go", "// Package helpers is of no use.\npackage helpers", "helpers: has no row in the house"},
		{"no package comment", "web/a.go", "package web", "web: has no package comment"},
		{"comment on the wrong name", "web/a.go", "// Package site is the site.\npackage web", "web: has no package comment"},
		{"package comment in a test", "web/a_test.go", "// Package web is the site.\npackage web", "web: has no package comment"},
		{"command comment", "cmd/ferrite/a.go", "// Command ferrite is it.\npackage main", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := goodTree()
			tree[c.file] = &fstest.MapFile{Data: []byte(header + c.text + "\n")}
			expect(t, tree, c.want)
		})
	}
}

// TestPlantedHeaders: the header is two lines, and an empty one after them.
func TestPlantedHeaders(t *testing.T) {
	const want = "node/a_test.go: wanted the two lines of copyright and license"
	for _, c := range []struct{ text, want string }{
		{header + "package node\n", ""},
		{"package node\n", want},
		{strings.TrimSuffix(header, "\n") + "package node\n", want},
		{"\n" + header + "package node\n", want},
		{strings.Replace(header, "2026", "2025", 1) + "package node\n", want},
	} {
		tree := goodTree()
		tree["node/a_test.go"] = &fstest.MapFile{Data: []byte(c.text)} // tests are not exempt from this one
		expect(t, tree, c.want)
	}
}

// goodTree has a package comment for a few packages and nothing wrong.
func goodTree() fstest.MapFS {
	tree := fstest.MapFS{"doc.go": {Data: []byte(header + "// Package ferrite is good.\npackage ferrite\n")}}
	for _, pkg := range []string{"node", "inventory", "bmc", "bmc/ipmi", "sim", "httpapi", "actors", "conductor", "persistence", "internal/config"} {
		name := path.Base(pkg)
		tree[pkg+"/doc.go"] = &fstest.MapFile{Data: []byte(header + "// Package " + name + " is good.\npackage " + name + "\n")}
	}
	return tree
}

// expect wants exactly one thing wrong that holds a text, or nothing if that is "".
func expect(t *testing.T, tree fs.FS, want string) {
	t.Helper()
	wrong, err := check(tree)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == "" && len(wrong) > 0:
		t.Errorf("found %q in a good tree", wrong)
	case want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], want)):
		t.Errorf("found %q, wanted %q alone", wrong, want)
	}
}
