// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestStories runs testdata/stories: what happens to one node, message by message. -rewrite writes the answers anew;
// read the diff. Commands, with "Field: value" lines below them:
//
//	node                the node as it is; fields of Node. States not given: fake-hardware, available, power off
//	env                 changes Policy, Facts, Meta and Self by their fields
//	msg NAME [dry]      a message, fields as in message.go; dry: only look
//	patch [stale] [reset] [dry]   PATCH: "field: value", or "remove: field"
//	done [op=..] [phase=..] [dry] an outcome, of the open phase unless said otherwise
//	run                 runs what is asked for, with success, until the node is idle
//	crash [to=NAME]     the effects under way are lost; the same conductor, restarted, or another activates the node
//	sync, recover       a power reading: "State: ..." or "Err: ..."
//	quarantine          the rules failed so
//	states NAME [minor=N]  the message in each of the 30 provision states, each time on a fresh copy
//	show FIELD...       fields of the node
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := newStory()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

// story is one file under way.
type story struct {
	env     Env
	n       *Node
	effects []Effect
	ids     int
}

func newStory() *story {
	s := &story{env: Env{
		Now:    time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		Self:   Owner{Name: "c1", Incarnation: 1},
		Policy: DefaultPolicy(),
		Facts: Facts{
			PowerTargets: []PowerState{PowerOn, PowerOff, Rebooting, SoftRebooting, SoftPowerOff},
			PowerSync:    true, BootDevices: []string{"pxe", "disk"},
		},
		Meta: Meta{By: "ann", RequestID: "req-1", Minor: 115},
	}}
	s.n = s.fresh("fake-hardware")
	return s
}

// fresh is a healthy idle node of a hardware type.
func (s *story) fresh(driver string) *Node {
	h, _ := FindHardware(driver)
	in := map[string]string{}
	for _, k := range InterfaceKinds {
		in[k] = h.Default(k, s.env.Policy.Enabled, nil)
	}
	return &Node{
		UUID: "n1", Name: "web1", Driver: driver, Interfaces: in, ProvisionState: Available, PowerState: PowerOff,
		Owner: Owner{Name: "c1", Incarnation: 1, Epoch: 1}, Outer: 1, Rev: 1,
	}
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	dry := d.HasArg("dry")
	switch d.Cmd {
	case "node":
		f := fields(t, d.Input)
		driver, _ := f["Driver"].(string)
		if driver == "" {
			driver = "fake-hardware"
		}
		s.n, s.effects = s.fresh(driver), nil
		in := s.n.Interfaces
		fill(t, f, s.n)
		for k, v := range in {
			if s.n.Interfaces[k] == "" {
				s.n.Interfaces[k] = v
			}
		}
		return "ok"
	case "env":
		f := fields(t, d.Input)
		fill(t, f, &s.env.Policy)
		fill(t, f, &s.env.Facts)
		fill(t, f, &s.env.Meta)
		fill(t, f, &s.env.Self)
		return "ok"
	case "msg":
		m := message(t, d.CmdArgs[0].Key, fields(t, d.Input))
		if c, ok := m.(CreateNode); ok {
			s.n = nil
			return s.step(c, dry)
		}
		return s.step(m, dry)
	case "patch":
		m := s.patch(t, d.Input)
		m.ResetInterfaces = d.HasArg("reset")
		if d.HasArg("stale") {
			m.Base--
		}
		return s.step(m, dry)
	case "done":
		m := Done{}
		if s.n.Intent != nil {
			m.Op, m.Phase = s.n.Intent.ID, s.n.Intent.Phase
		}
		d.MaybeScanArgs(t, "op", &m.Op)
		d.MaybeScanArgs(t, "phase", &m.Phase)
		fill(t, fields(t, d.Input), &m)
		s.effects = slices.DeleteFunc(s.effects, func(e Effect) bool { return e.Op == m.Op && e.Phase == m.Phase })
		return s.step(m, dry)
	case "run":
		return s.run()
	case "crash":
		s.effects = nil
		s.env.Self.Incarnation++
		d.MaybeScanArgs(t, "to", &s.env.Self.Name)
		return s.step(Activated{}, dry)
	case "sync":
		m := SyncSample{Rev: s.n.Rev}
		fill(t, fields(t, d.Input), &m)
		m.Failed = m.Err != ""
		return s.step(m, dry)
	case "recover":
		m := RecoverySample{Rev: s.n.Rev}
		fill(t, fields(t, d.Input), &m)
		return s.step(m, dry)
	case "quarantine":
		return s.quarantine(d.Input)
	case "states":
		return s.states(t, d)
	case "show":
		var b strings.Builder
		for _, a := range d.CmdArgs {
			fmt.Fprintf(&b, "%s: %s\n", a.Key, shownField(s.n, a.Key))
		}
		return b.String()
	default:
		t.Fatalf("%s: no command %q", d.Pos, d.Cmd)
		return ""
	}
}

// tick is the surroundings of the next step; each comes a minute after the other.
func (s *story) tick() Env {
	env := s.env
	s.ids++
	env.ID = fmt.Sprintf("op%d", s.ids)
	s.env.Now = s.env.Now.Add(time.Minute)
	return env
}

func (s *story) quarantine(cause string) string {
	d, err := Quarantine(s.tick(), s.n, cause)
	out := s.print(d, err)
	s.n = d.Node
	return out
}

// step takes one message to the node.
func (s *story) step(m Msg, dry bool) string {
	d, err := Step(s.tick(), s.n, m)
	out := s.print(d, err)
	if dry {
		return out + "(not kept)\n"
	}
	if err == nil && d.Delete {
		s.n = nil
	} else if err == nil && d.Node != nil {
		c := *d.Node
		c.Rev++
		s.n = &c
	}
	s.effects = append(s.effects, d.Effects...)
	return out
}

// run gives each effect that is asked for its good outcome, until nothing is under way.
func (s *story) run() string {
	var b strings.Builder
	for len(s.effects) > 0 {
		e := s.effects[0]
		s.effects = s.effects[1:]
		m := Done{Op: e.Op, Phase: e.Phase, State: e.Want}
		if e.Kind == Verify {
			m.State = s.n.PowerState
		}
		fmt.Fprintf(&b, "# done: %s, phase %q\n%s", e.Kind, e.Phase, s.step(m, false))
	}
	return b.String()
}

// states shows what a message does in each provision state, a line a state.
func (s *story) states(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	env, keep := s.env, s.n
	defer func() { s.n = keep }()
	d.MaybeScanArgs(t, "minor", &env.Meta.Minor)
	name := d.CmdArgs[0].Key
	var b strings.Builder
	var answers []string // refusals and "nothing", each with the states that give it
	where := map[string][]string{}
	for _, st := range stateOrder {
		n := *keep
		n.ProvisionState, n.TargetProvisionState = st, ""
		if f := fsm[st]; f.Target != "" {
			n.TargetProvisionState = f.Target
		}
		s.n = &n
		var m Msg
		if name == "patch" {
			m = s.patch(t, d.Input)
		} else {
			m = message(t, name, fields(t, d.Input))
		}
		got, err := Step(env, &n, m)
		answer := brief(got, err)
		if err == nil && answer != "nothing" {
			fmt.Fprintf(&b, "%-15s  %s\n", st, answer)
			continue
		}
		if where[answer] == nil {
			answers = append(answers, answer)
		}
		where[answer] = append(where[answer], string(st))
	}
	for _, a := range answers {
		if len(where[a]) > len(stateOrder)/2 {
			fmt.Fprintf(&b, "%s: the other %d\n", a, len(where[a]))
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", a, strings.Join(where[a], ", "))
	}
	return b.String()
}

// stateOrder is the order of the states as words.go has them.
var stateOrder = []State{
	Enroll, Manageable, Available, Active, ErrorState, Rescue, Verifying, Deploying, WaitCallBack, DeployFailed, DeployHold,
	Cleaning, CleanWait, CleanFailed, CleanHold, Deleting, Inspecting, InspectFailed, InspectWait, Adopting, AdoptFailed,
	Rescuing, RescueWait, RescueFailed, Unrescuing, UnrescueFailed, Servicing, ServiceWait, ServiceFailed, ServiceHold,
}
