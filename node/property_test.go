// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRandomLives sends random messages to one node, with crashes, takeovers and outcomes that come late, twice or to
// the wrong conductor, and holds every step against the promises of the design (the checks of life.step). At the end,
// running what is asked for always leads to an idle node.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		t.Repeat(map[string]func(*rapid.T){
			"request":  l.request,
			"patch":    l.patch,
			"outcome":  l.outcome,
			"late":     l.late,
			"sample":   l.sample,
			"crash":    l.crash,
			"renew":    l.renew,
			"release":  l.release,
			"":         l.atRest,
			"outcome2": l.outcome, // outcomes are as likely as requests, or operations would never end
		})
		l.settle(t)
		l.replay(t)
	})
}

// life is one node, the conductor that owns it, and what is on its way.
type life struct {
	env     Env
	n       *Node
	first   *Node
	pending []Effect
	past    []Done // outcomes that have been told already
	former  []Env  // conductors as they were before a crash
	log     []entry
	owners  map[uint64]Owner // S1: by epoch
	power   bool             // between power_set.start and its end
	flow    bool             // between provision_set.start and its end
}

type entry struct {
	env Env
	msg Msg
}

func newLife(t *rapid.T) *life {
	s := newStory()
	s.env.Policy.ForcePower = rapid.Bool().Draw(t, "force")
	s.env.Policy.MaxRetries = rapid.IntRange(0, 3).Draw(t, "retries")
	if rapid.Bool().Draw(t, "steps") {
		s.env.Facts.CleanSteps = []StepSpec{{Interface: "deploy", Step: "one", Priority: 2}, {Interface: "deploy", Step: "two", Priority: 1}}
	}
	n := s.fresh(rapid.SampledFrom([]string{"fake-hardware", "ipmi"}).Draw(t, "driver"))
	n.ProvisionState = rapid.SampledFrom([]State{Enroll, Manageable, Available, Active, ErrorState, CleanFailed}).Draw(t, "state")
	n.TargetProvisionState = fsm[n.ProvisionState].Target
	n.PowerState = rapid.SampledFrom([]PowerState{PowerOn, PowerOff, PowerUnknown, PowerError}).Draw(t, "power")
	n.DisablePowerOff = rapid.Bool().Draw(t, "disable_power_off")
	n.ConsoleEnabled = rapid.Bool().Draw(t, "console")
	n.ConsoleWanted = n.ConsoleEnabled
	return &life{env: s.env, n: n, first: n, owners: map[uint64]Owner{n.Owner.Epoch: n.Owner}}
}

// step takes a message to the node and checks what comes of it.
func (l *life) step(t *rapid.T, env Env, m Msg) {
	l.env.Now = l.env.Now.Add(time.Second)
	env.Now, env.ID = l.env.Now, fmt.Sprintf("op%d", len(l.log))
	l.log = append(l.log, entry{env, m})
	before := text(t, l.n)
	d, err := Step(env, l.n, m)
	if after := text(t, l.n); after != before {
		t.Fatalf("%s changed its input:\n%s\n%s", m.MsgName(), before, after)
	}
	for _, x := range d.Notices {
		if x.Node == nil || x.Object == "" || x.Action == "" || x.Status == "" || x.At.IsZero() {
			t.Fatalf("%s: incomplete notice %+v", m.MsgName(), x)
		}
	}
	if err != nil {
		if e := refusal(err); e == nil || e.Kind == "" || e.Text == "" || e.Op == "" {
			t.Fatalf("%s: refused by %#v", m.MsgName(), err)
		}
		if d.Node != nil || len(d.Effects) > 0 || len(d.History) > 0 {
			t.Fatalf("%s: refused and yet decided %+v", m.MsgName(), d)
		}
		return
	}
	if d.Node == nil {
		if len(d.Effects)+len(d.Notices)+len(d.History) > 0 {
			t.Fatalf("%s: effects or notices without a commit: %+v", m.MsgName(), d)
		}
		return
	}
	l.checkOwner(t, m, d.Node)
	l.checkIntent(t, m, d)
	l.checkOuter(t, m, d.Node)
	l.checkNotices(t, m, d.Notices)
	c := *d.Node
	c.Rev++
	l.n = &c
	l.pending = append(l.pending, d.Effects...)
}

// checkOwner: epochs only grow, and one epoch has one owner (S1, S4).
func (l *life) checkOwner(t *rapid.T, m Msg, n *Node) {
	if n.Owner.Epoch < l.n.Owner.Epoch {
		t.Fatalf("%s: epoch fell from %d to %d", m.MsgName(), l.n.Owner.Epoch, n.Owner.Epoch)
	}
	was, known := l.owners[n.Owner.Epoch]
	if known && was != n.Owner {
		t.Fatalf("%s: epoch %d has two owners: %+v and %+v", m.MsgName(), n.Owner.Epoch, was, n.Owner)
	}
	l.owners[n.Owner.Epoch] = n.Owner
}

// checkIntent: an operation has its owner, its target and its effect; an idle node has none of them (S8).
func (l *life) checkIntent(t *rapid.T, m Msg, d Decision) {
	n := d.Node
	if n.Intent == nil {
		if n.Reservation() != "" || n.TargetPowerState != "" || len(d.Effects) > 0 {
			t.Fatalf("%s: idle, but reserved by %q, target %q, effects %v", m.MsgName(), n.Reservation(), n.TargetPowerState, d.Effects)
		}
		if n.ProvisionState.Unstable() {
			t.Fatalf("%s: idle in state %q", m.MsgName(), n.ProvisionState)
		}
		return
	}
	i := n.Intent
	if i.Owner != n.Owner || n.Reservation() == "" {
		t.Fatalf("%s: intent of %+v on a node of %+v", m.MsgName(), i.Owner, n.Owner)
	}
	if verb := under(i); verb == VerbPower && n.TargetPowerState != i.Target.Final() || verb != VerbPower && n.TargetPowerState != "" {
		t.Fatalf("%s: %q towards %q shows target %q", m.MsgName(), i.Verb, i.Target, n.TargetPowerState)
	}
	if _, renewed := m.(RenewPermit); renewed {
		return
	}
	if len(d.Effects) != 1 || d.Effects[0].Op != i.ID || d.Effects[0].Phase != i.Phase || d.Effects[0].Class != i.Class {
		t.Fatalf("%s: phase %q of %s asks for %+v", m.MsgName(), i.Phase, i.ID, d.Effects)
	}
}

// under is what an intent is about: of a release, what it ends.
func under(i *Intent) string {
	if i.Released != nil {
		return i.Released.Verb
	}
	return i.Verb
}

// invisible are the fields that no client sees (P7).
var invisible = []string{"Owner", "Intent", "SyncFails", "Outer", "UpdatedAt", "Rev", "Created", "ConsoleWanted", "Quarantined", "Fenced", "Refused"}

// checkOuter: Outer and updated_at move exactly when a client sees a difference (P7).
func (l *life) checkOuter(t *rapid.T, m Msg, n *Node) {
	var changed []string
	before, after := *l.n, *n
	for _, k := range []*Node{&before, &after} {
		k.Traits = append([]string{}, k.Traits...) // none is none, as on the wire
	}
	x, y := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range x.NumField() {
		name := x.Type().Field(i).Name
		if !slices.Contains(invisible, name) && shown(x.Field(i).Interface()) != shown(y.Field(i).Interface()) {
			changed = append(changed, name)
		}
	}
	want := l.n.Outer
	if len(changed) > 0 {
		want++
	}
	if n.Outer != want {
		t.Fatalf("%s: Outer %d -> %d, changed: %v", m.MsgName(), l.n.Outer, n.Outer, changed)
	}
	if n.UpdatedAt.Equal(l.env.Now) != (len(changed) > 0) {
		t.Fatalf("%s: updated_at %s, changed: %v", m.MsgName(), n.UpdatedAt, changed)
	}
}

// checkNotices: start strictly before end, every start has exactly one end or error (N1, spec notifications.md 4).
func (l *life) checkNotices(t *rapid.T, m Msg, notices []Notice) {
	for _, x := range notices {
		var open *bool
		switch x.Action {
		case "power_set":
			open = &l.power
		case "provision_set":
			open = &l.flow
		default:
			continue
		}
		switch x.Status {
		case Start:
			if *open {
				t.Fatalf("%s: a second %s.start", m.MsgName(), x.Action)
			}
			*open = true
		case End, Failure:
			if !*open {
				t.Fatalf("%s: %s.%s without a start", m.MsgName(), x.Action, x.Status)
			}
			*open = false
		case Success:
			if x.Action == "power_set" {
				t.Fatalf("%s: power_set.success", m.MsgName())
			}
		}
	}
}

// atRest are invariants of the node between messages.
func (l *life) atRest(t *rapid.T) {
	n := l.n
	if l.power != (n.Intent != nil && under(n.Intent) == VerbPower) {
		t.Fatalf("power_set open: %v, intent %+v", l.power, n.Intent)
	}
	if l.flow != n.ProvisionState.Unstable() {
		t.Fatalf("provision_set open: %v, state %q", l.flow, n.ProvisionState)
	}
	if n.Fault != "" && !n.Maintenance || n.MaintenanceReason != "" && !n.Maintenance ||
		n.ProtectedReason != "" && !n.Protected || n.RetiredReason != "" && !n.Retired {
		t.Fatalf("a reason or fault without its flag: %s", text(t, n))
	}
	if n.ProvisionState.Stable() && n.TargetProvisionState != "" {
		t.Fatalf("at rest in %q with target %q", n.ProvisionState, n.TargetProvisionState)
	}
}

func (l *life) request(t *rapid.T) {
	l.step(t, l.env, rapid.SampledFrom(requests).Draw(t, "request"))
}

// requests are what a client may ask for.
var requests = func() []Msg {
	out := []Msg{
		SetBootDevice{Device: "pxe"},
		SetBootDevice{Device: "disk", Persistent: true},
		InjectNMI{},
		CallVendor{Method: VerbResetBMC},
		CallVendor{Method: VerbRaw, Raw: []byte{6, 1}},
		Identify{Span: -1},
		ClearEvents{},
		Activated{},
		SetMaintenance{On: true, Reason: "r"},
		SetMaintenance{},
		SetConsole{Enabled: true},
		SetConsole{},
		SetTraits{Traits: []string{"CUSTOM_A"}},
		SetTraits{},
		SetTraits{Remove: "CUSTOM_A"},
		SetTraits{Add: "CUSTOM_B"},
		SetRaidConfig{Config: map[string]any{"logical_disks": []any{}}},
		SetBootMode{"uefi"},
		SetSecureBoot{true},
	}
	for _, p := range []PowerState{PowerOn, PowerOff, Rebooting, SoftRebooting, SoftPowerOff, "nonsense"} {
		out = append(out, SetPower{Target: p})
	}
	steps := []StepSpec{{Interface: "bios", Step: "a"}, {Interface: "bios", Step: "b"}}
	for v := range verbs {
		out = append(out, SetProvision{Verb: v, RescuePassword: "x", CleanSteps: steps, ServiceSteps: steps[:1]})
	}
	slices.SortFunc(out, func(a, b Msg) int { // map order must not matter
		return len(fmt.Sprintf("%T %v", a, a)) - len(fmt.Sprintf("%T %v", b, b))
	})
	return out
}()

func (l *life) patch(t *rapid.T) {
	want := *l.n
	m := UpdateNode{Base: l.n.Outer, Want: &want}
	f := rapid.SampledFrom([]string{"name", "protected", "retired", "maintenance", "instance_uuid", "disable_power_off", "extra", "automated_clean"}).Draw(t, "field")
	on := rapid.Bool().Draw(t, "on")
	word := map[bool]string{true: "x"}[on]
	switch f {
	case "name":
		want.Name = word
	case "protected":
		want.Protected = on
	case "retired":
		want.Retired = on
	case "maintenance":
		want.Maintenance = on
	case "instance_uuid":
		want.InstanceUUID = word
	case "disable_power_off":
		want.DisablePowerOff = on
	case "extra":
		want.Extra = map[string]any{"a": word}
	case "automated_clean":
		want.AutomatedClean = &on
	}
	m.Changed = []string{f}
	l.step(t, l.env, m)
}

// outcome tells how an effect under way went, well or badly.
func (l *life) outcome(t *rapid.T) {
	if len(l.pending) == 0 {
		t.Skip("nothing under way")
	}
	k := rapid.IntRange(0, len(l.pending)-1).Draw(t, "effect")
	e := l.pending[k]
	l.pending = slices.Delete(slices.Clone(l.pending), k, k+1)
	m := drawOutcome(t, e)
	l.past = append(l.past, m)
	l.step(t, l.env, m)
}

func drawOutcome(t *rapid.T, e Effect) Done {
	m := Done{Op: e.Op, Phase: e.Phase, State: e.Want, Vendor: rapid.SampledFrom([]string{"", "acme"}).Draw(t, "vendor")}
	if e.Kind == Verify {
		m.State = rapid.SampledFrom([]PowerState{PowerOn, PowerOff, PowerError, PowerUnknown}).Draw(t, "read")
	}
	switch rapid.SampledFrom([]string{"ok", "ok", "already", "read", "err", "unknown", "unsupported"}).Draw(t, "outcome") {
	case "already":
		m.Already = e.Read
	case "read":
		m.ReadErr = map[bool]string{true: "no answer"}[e.Read || e.Kind == Verify]
	case "err":
		m.Err = "refused"
	case "unknown":
		m.Err, m.Unknown = "no answer", true
	case "unsupported":
		m.Err, m.Cause = "cannot", Unsupported
	}
	return m
}

// late tells an outcome again, or to a conductor that lost the node: nothing may come of it.
func (l *life) late(t *rapid.T) {
	var env Env
	var m Done
	switch {
	case len(l.former) > 0 && l.n.Intent != nil && rapid.Bool().Draw(t, "former"):
		env = rapid.SampledFrom(l.former).Draw(t, "conductor")
		m = Done{Op: l.n.Intent.ID, Phase: l.n.Intent.Phase, State: PowerOn}
	case len(l.past) > 0:
		env, m = l.env, rapid.SampledFrom(l.past).Draw(t, "outcome")
		if i := l.n.Intent; i != nil && i.ID == m.Op && i.Phase == m.Phase {
			t.Skip("the phase was begun anew after a crash: its outcome counts")
		}
	default:
		t.Skip("no outcome yet")
	}
	before := l.n
	l.step(t, env, m)
	if l.n != before {
		t.Fatalf("outcome %+v counted twice or for the wrong conductor", m)
	}
}

// sample is a reading of the power sync or of the recovery, sometimes compared under an older record (P3).
func (l *life) sample(t *rapid.T) {
	rev := l.n.Rev
	stale := rapid.IntRange(0, 3).Draw(t, "stale") == 0
	if stale {
		rev--
	}
	before := l.n
	state := rapid.SampledFrom([]PowerState{PowerOn, PowerOff, PowerError, PowerUnknown}).Draw(t, "state")
	var m Msg
	switch {
	case rapid.Bool().Draw(t, "recovery"):
		m = RecoverySample{Rev: rev, State: state}
	case state == PowerUnknown:
		m = SyncSample{Rev: rev, Failed: true, Err: "no answer"}
	default:
		m = SyncSample{Rev: rev, State: state}
	}
	l.step(t, l.env, m)
	if stale && l.n != before {
		t.Fatalf("a sample of an older record counted: %+v", m)
	}
}

// crash loses the effects under way; the same conductor or another one begins a new life and activates the node.
func (l *life) crash(t *rapid.T) {
	l.former = append(l.former, l.env)
	l.env.Self.Incarnation = uint64(100 + len(l.former))
	l.env.Self.Name = rapid.SampledFrom([]string{"c1", "c2", "c3"}).Draw(t, "conductor")
	l.pending = nil
	l.step(t, l.env, Activated{})
	if l.n.Intent != nil && l.n.Intent.Owner.Incarnation != l.env.Self.Incarnation {
		t.Fatalf("an open intent was not claimed: %+v", l.n.Intent)
	}
	for _, e := range l.pending {
		restore := e.Kind == SwitchConsole && e.Phase == consoleRestore // an operation of its own: no permit is older
		if (touchesBMC(e) || e.Kind == HoldOff) && !restore && e.Hold <= l.env.Policy.Valid {
			t.Fatalf("S11: effect %+v does not wait for the old permit to end", e)
		}
		if e.Class == Once {
			t.Fatalf("S12: effect %+v is sent again", e)
		}
	}
}

// release takes the operation from its owner, be it ourselves: whatever it has under way counts no more, and the end waits
// until no permit of it is left (S13).
func (l *life) release(t *rapid.T) {
	before := l.n
	l.step(t, l.env, Release{})
	if before.Intent == nil || l.n == before { // nothing there, or it is being released already
		return
	}
	i := l.n.Intent
	if i == nil || i.ID == before.Intent.ID || l.n.Owner.Epoch != before.Owner.Epoch+1 {
		t.Fatalf("S13: released without a claim: %+v after %+v", l.n.Owner, before.Owner)
	}
	if e := l.pending[len(l.pending)-1]; e.Kind != HoldOff || e.Hold <= l.env.Policy.Valid {
		t.Fatalf("S13: the release does not wait for the permits of before: %+v", e)
	}
}

func (l *life) renew(t *rapid.T) {
	if l.n.Intent == nil {
		t.Skip("nothing to renew")
	}
	was := l.n.Intent.Renewed
	l.step(t, l.env, RenewPermit{Op: l.n.Intent.ID})
	if l.n.Intent.Renewed != was+1 {
		t.Fatal("a permit was not renewed")
	}
}

// settle runs what is asked for, well or badly: no intent stays open for ever.
func (l *life) settle(t *rapid.T) {
	for range 20 {
		if l.n.Intent == nil {
			l.atRest(t)
			return
		}
		if len(l.pending) == 0 {
			t.Fatalf("an open intent with nothing under way: %+v", l.n.Intent)
		}
		l.outcome(t)
	}
	t.Fatalf("still open after 20 outcomes: %+v", l.n.Intent)
}

// replay: the same messages in the same surroundings lead to the same node.
func (l *life) replay(t *rapid.T) {
	n := l.first
	for _, e := range l.log {
		if d, err := Step(e.env, n, e.msg); err == nil && d.Node != nil {
			c := *d.Node
			c.Rev++
			n = &c
		}
	}
	if !reflect.DeepEqual(n, l.n) {
		t.Fatalf("replay gives another node:\n%s\n%s", text(t, n), text(t, l.n))
	}
}

// text is a node in full, to be compared.
func text(t *rapid.T, n *Node) string {
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
