// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// access is one read or write of a register.
type access struct {
	write bool
	value int
}

// register is a value in a node's record that several clients write and read through any conductor.
type register struct {
	e    *ensemble
	node string

	mu      sync.Mutex // guards the fields below
	next    int        // values are never used twice
	history []porcupine.Operation
	unsure  []porcupine.Operation // writes whose outcome the client does not know
	stale   int                   // answers that said that they may be old
}

var began = time.Now()

// registers is what a register does: it tells what was written last.
var registers = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		a, _ := input.(access)
		if a.write {
			return true, a.value
		}
		return output == state, state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprint(input, output) },
}

// touch makes one access through a random conductor.
func (r *register) touch(client int, write bool) {
	o := porcupine.Operation{ClientId: client, Call: int64(time.Since(began))}
	s := r.e.all[rand.IntN(len(r.e.all))]
	if write {
		r.mu.Lock()
		r.next++
		v := r.next
		r.mu.Unlock()
		o.Input = access{write: true, value: v}
		code, _, _, err := r.e.do(s, "PATCH", "/v1/nodes/"+r.node, []map[string]any{{"op": "add", "path": "/extra/value", "value": v}}, nil)
		o.Return = int64(time.Since(began))
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err == nil && code == http.StatusOK:
			r.history = append(r.history, o)
		case unsent(err): // nobody was asked
		default:
			o.Return = math.MaxInt64 // it may happen at any time from now on, or never
			r.unsure = append(r.unsure, o)
		}
		return
	}
	code, doc, header, err := r.e.do(s, "GET", "/v1/nodes/"+r.node, nil, nil)
	if err != nil || code != http.StatusOK {
		return
	}
	o.Return = int64(time.Since(began))
	extra, _ := doc["extra"].(map[string]any)
	value, _ := extra["value"].(float64)
	o.Input, o.Output = access{}, int(value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if header.Get("Ferrite-Stale") != "" { // R4: it says so itself
		r.stale++
		return
	}
	r.history = append(r.history, o)
}

// check says whether one order of all accesses explains every answer.
func (r *register) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[int]bool{}
	for _, o := range r.history {
		if v, ok := o.Output.(int); ok {
			seen[v] = true
		}
	}
	all := r.history
	known := len(all)
	for i, o := range r.unsure { // one that nobody ever saw may as well be the last of all
		if a, _ := o.Input.(access); seen[a.value] {
			o.ClientId = 1000 + i // its client went on while it was open
			all = append(all, o)
		}
	}
	result, info := porcupine.CheckOperationsVerbose(registers, all, 2*time.Minute)
	t.Logf("%s: %d accesses with an answer, %d writes with an unknown outcome of which %d were seen, %d stale reads: %v", r.node, known, len(r.unsure), len(all)-known, r.stale, result)
	if result == porcupine.Ok {
		return
	}
	file := t.TempDir() + "/" + r.node + ".html"
	_ = porcupine.VisualizePath(registers, info, file)
	t.Errorf("the history of %s is not linearizable (%v), drawn in %s", r.node, result, file)
}

// TestRegistersNoticeWrongHistories: what must be found is found.
func TestRegistersNoticeWrongHistories(t *testing.T) {
	ok := func(all ...porcupine.Operation) bool { return porcupine.CheckOperations(registers, all) }
	write := porcupine.Operation{ClientId: 1, Call: 1, Return: 2, Input: access{true, 1}}
	old := porcupine.Operation{ClientId: 2, Call: 3, Return: 4, Input: access{}, Output: 0}
	if ok(write, old) {
		t.Error("an old value was read after a new one was acknowledged, and that passes")
	}
	write.Return = math.MaxInt64
	if !ok(write, old) {
		t.Error("a write of unknown outcome may come later")
	}
}
