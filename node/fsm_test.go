// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reference is testdata/fsm.json: the state machine as it was read out of Ironic, row by row.
type reference struct {
	Initial string `json:"initial_state"`
	States  map[State]struct {
		Stable, Unstable, Failure, Wait, Hold bool

		Target State            `json:"default_target"`
		Stuck  bool             `json:"fail_if_conductor_died"`
		Patch  bool             `json:"patch_allowed_while_target_set"`
		Lookup bool             `json:"agent_lookup_allowed"`
		Fast   bool             `json:"agent_lookup_allowed_fast_track"`
		NoSync bool             `json:"power_sync_skipped"`
		Events map[string]State `json:"events"`
	}
	Transitions []struct {
		From, To State
		Event    string
	}
	Verbs []struct {
		Target, Event string

		Since  string `json:"min_version"`
		From   []State
		States map[State]string `json:"per_state_min_version"`
	}
	Lists map[string]json.RawMessage
}

func loadReference(t *testing.T) reference {
	t.Helper()
	b, err := os.ReadFile("testdata/fsm.json")
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// minor reads "1.85 (state appears)" as 85.
func minor(t *testing.T, version string) int {
	t.Helper()
	v, _, _ := strings.Cut(version, " ")
	n, err := strconv.Atoi(strings.TrimPrefix(v, "1."))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStatesAreTheReferences(t *testing.T) {
	r := loadReference(t)
	if len(r.States) != 30 || len(fsm) != 30 {
		t.Fatalf("states: %d in the table, %d in the reference, wanted 30", len(fsm), len(r.States))
	}
	if State(r.Initial) != Enroll {
		t.Errorf("initial state: %q", r.Initial)
	}
	for s, w := range r.States {
		want := stateFacts{
			Stable: w.Stable, Unstable: w.Unstable, Failure: w.Failure, Wait: w.Wait, Hold: w.Hold, Target: w.Target,
			Stuck: w.Stuck, Patch: w.Patch, NoSync: w.NoSync, Lookup: w.Lookup, Fast: w.Fast, Events: w.Events,
		}
		if got := fmt.Sprintf("%+v", fsm[s]); got != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\n got %s\nwant %+v", s, got, want)
		}
		if s.Stable() != w.Stable || s.Unstable() != w.Unstable || !StateKnown(s) {
			t.Errorf("%s: wrong Stable, Unstable or StateKnown", s)
		}
	}
	if StateKnown("nonsense") {
		t.Error("an unknown state is known")
	}
}

func TestTransitionsAreTheReferences(t *testing.T) {
	r := loadReference(t)
	if len(r.Transitions) != 93 {
		t.Fatalf("%d transitions in the reference, wanted 93", len(r.Transitions))
	}
	left := map[string]State{}
	for s, f := range fsm {
		for ev, to := range f.Events {
			left[string(s)+" "+ev] = to
		}
	}
	for _, w := range r.Transitions {
		got, ok := Next(w.From, w.Event)
		if !ok || got != w.To {
			t.Errorf("%s -%s-> %q, wanted %q", w.From, w.Event, got, w.To)
		}
		delete(left, string(w.From)+" "+w.Event)
	}
	if len(left) > 0 {
		t.Errorf("transitions that the reference does not have: %v", left)
	}
}

func TestVerbsAreTheReferences(t *testing.T) {
	r := loadReference(t)
	if len(r.Verbs) != len(verbs) {
		t.Errorf("%d verbs, wanted %d", len(verbs), len(r.Verbs))
	}
	for _, w := range r.Verbs {
		v := verbs[w.Target]
		if v.Event != w.Event || v.Since != minor(t, w.Since) || len(v.States) != len(w.States) {
			t.Errorf("%s: got %+v, wanted %+v", w.Target, v, w)
		}
		for s, since := range w.States {
			if got, _ := VerbSince(w.Target, s); got != minor(t, since) {
				t.Errorf("%s in %s: since 1.%d, wanted %s", w.Target, s, got, since)
			}
		}
		var from []State
		for s := range fsm {
			if _, ok := Next(s, v.Event); ok && !internalEvent(s, v.Event) {
				from = append(from, s)
			}
		}
		slices.Sort(from)
		slices.Sort(w.From)
		if !slices.Equal(from, w.From) {
			t.Errorf("%s: from %v, wanted %v", w.Target, from, w.From)
		}
	}
	if _, known := VerbSince("nonsense", Active); known {
		t.Error("an unknown verb is known")
	}
	if since, _ := VerbSince("manage", Enroll); since != 4 {
		t.Errorf("manage since 1.%d, wanted 1.4", since)
	}
}

func TestListsAreTheReferences(t *testing.T) {
	r := loadReference(t)
	where := func(pick func(stateFacts) bool) []string {
		var out []string
		for _, s := range slices.Sorted(maps.Keys(fsm)) {
			if pick(fsm[s]) {
				out = append(out, string(s))
			}
		}
		return out
	}
	for name, got := range map[string][]string{
		"stable":                where(func(f stateFacts) bool { return f.Stable }),
		"unstable":              where(func(f stateFacts) bool { return f.Unstable }),
		"failure":               where(func(f stateFacts) bool { return f.Failure }),
		"stuck_treated_as_fail": where(func(f stateFacts) bool { return f.Stuck }),
		"update_allowed_states": where(func(f stateFacts) bool { return f.Patch }),
		"power_sync_excluded":   where(func(f stateFacts) bool { return f.NoSync }),
		"lookup_allowed":        where(func(f stateFacts) bool { return f.Lookup }),
		"fasttrack_lookup_allowed": where(func(f stateFacts) bool {
			return f.Fast
		}),
		"delete_allowed_states": {"adopt failed", "enroll", "manageable"},
		"faults":                {FaultClean, FaultPower, FaultRescueAbort, FaultService},
	} {
		var want []string
		if err := json.Unmarshal(r.Lists[name], &want); err != nil {
			t.Fatal(name, err)
		}
		want = slices.DeleteFunc(want, func(s string) bool { return s == "service" }) // a verb in the list, not a state
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, wanted %v", name, got, want)
		}
	}
}

// TestDeleteIsAllowedWhereTheReferenceSays asks Step in every state, since the rule is code and not a table.
func TestDeleteIsAllowedWhereTheReferenceSays(t *testing.T) {
	for s := range fsm {
		want := slices.Contains([]State{Enroll, Manageable, AdoptFailed, Available}, s)
		for _, maintenance := range []bool{false, true} {
			_, err := Step(Env{Policy: DefaultPolicy()}, &Node{UUID: "u", ProvisionState: s, Maintenance: maintenance}, DeleteNode{})
			if (err == nil) != (want || maintenance) {
				t.Errorf("delete in %s (maintenance %v): %v", s, maintenance, err)
			}
		}
	}
}

func TestEveryHistoryTypeIsIronics(t *testing.T) {
	var types []string
	if err := json.Unmarshal(loadReference(t).Lists["history_event_types"], &types); err != nil {
		t.Fatal(err)
	}
	for s, f := range fsm {
		got := historyType(s)
		if got != "" && !slices.Contains(types, got) {
			t.Errorf("history type %q of state %s is not one of %v", got, s, types)
		}
		if got == "" && (f.Stuck || f.Wait || f.Hold) {
			t.Errorf("state %s can fail or be aborted and has no history type", s)
		}
	}
}

func TestLegacyNames(t *testing.T) {
	for stored, want := range map[string]State{
		"": Available, "wait call-back": WaitCallBack, "error": ErrorState, "clean failed": CleanFailed, "active": Active,
	} {
		if got, ok := FromLegacy(stored); !ok || got != want {
			t.Errorf("FromLegacy(%q) = %q %v, wanted %q", stored, got, ok, want)
		}
	}
	for _, never := range []string{"deleted", "rebuild", "deploy complete", "service", "deploy", "undeploy"} {
		if got, ok := FromLegacy(never); ok {
			t.Errorf("FromLegacy(%q) = %q: it was never stored", never, got)
		}
	}
}

func TestStatesAreShownByVersion(t *testing.T) {
	for _, c := range []struct {
		state State
		minor int
		want  State
	}{
		{Available, 1, ""},
		{Available, 2, Available},
		{InspectWait, 38, Inspecting},
		{InspectWait, 39, InspectWait},
		{Manageable, 1, Manageable},
	} {
		if got := c.state.Shown(c.minor); got != c.want {
			t.Errorf("%s at 1.%d is shown as %q, wanted %q", c.state, c.minor, got, c.want)
		}
	}
}
