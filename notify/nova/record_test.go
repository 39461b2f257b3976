// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/notify"
)

const instance = "11111111-0000-4000-8000-000000000001"

// plain is an Inner that names what it was given.
type plain struct{ err error }

func (p plain) Encode(n node.Notice) ([]notify.Message, error) {
	if p.err != nil {
		return nil, p.err
	}
	return []notify.Message{{Subject: n.Object + "." + n.Action + "." + string(n.Status)}}, nil
}

// tell plays messages to a node by its own rules, a second apart, and returns what the outbox keeps: subjects of
// notifications, and records as "tag request".
func tell(t *testing.T, e *Encoder, n *node.Node, policy node.Policy, msgs ...node.Msg) []string {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out []string
	for i, m := range msgs {
		now = now.Add(time.Second)
		env := node.Env{
			Now: now, Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: policy, Meta: node.Meta{RequestID: "req-of-user"},
			Facts: node.Facts{PowerSync: true, PowerTargets: []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftPowerOff, node.SoftRebooting}},
		}
		switch v := m.(type) {
		case node.Done:
			v.Op, v.Phase = n.Intent.ID, n.Intent.Phase
			m, env.Meta = v, node.Meta{}
		case node.SyncSample:
			v.Rev = n.Rev
			m, env.Meta = v, node.Meta{}
		case node.RecoverySample:
			v.Rev = n.Rev
			m, env.Meta = v, node.Meta{}
		}
		d, err := node.Step(env, n, m)
		if err != nil {
			t.Fatalf("message %d, %s: %v", i, m.MsgName(), err)
		}
		for _, x := range d.Notices {
			ms, err := e.Encode(x)
			if err != nil {
				t.Fatal(err)
			}
			for _, msg := range ms {
				if !Takes(msg.Subject) {
					out = append(out, msg.Subject)
					continue
				}
				var r record
				if err := json.Unmarshal(msg.Body, &r); err != nil || r.Server != instance || msg.Node != n.UUID {
					t.Errorf("%s of %s: %v", msg.Body, msg.Node, err)
				}
				out = append(out, strings.TrimSpace(r.Tag+" "+r.Request))
			}
		}
		if d.Node != nil {
			n = d.Node.Clone()
			n.Rev++
		}
	}
	return out
}

// N3, spec power.md section 9: when Nova is told and when not, by the rules of the node themselves.
func TestWhatNovaIsTold(t *testing.T) {
	force, believe := node.DefaultPolicy(), node.DefaultPolicy()
	believe.ForcePower = false
	done := func(p node.PowerState) node.Done { return node.Done{State: p} }
	for _, c := range []struct {
		name   string
		edit   func(*node.Node)
		policy node.Policy
		msgs   []node.Msg
		want   string
	}{
		{
			"on", nil, force,
			[]node.Msg{node.SetPower{Target: node.PowerOn}, done(node.PowerOn)},
			"node.power_set.start, POWER_ON req-of-user, node.power_set.end",
		},
		{
			"reboot", func(n *node.Node) { n.PowerState = node.PowerOn }, force,
			[]node.Msg{node.SetPower{Target: node.Rebooting}, done(node.PowerOff), done(node.PowerOn)},
			"node.power_set.start, POWER_ON req-of-user, node.power_set.end",
		},
		{
			"soft off", func(n *node.Node) { n.PowerState = node.PowerOn }, force,
			[]node.Msg{node.SetPower{Target: node.SoftPowerOff}, done(node.PowerOff)},
			"node.power_set.start, POWER_OFF req-of-user, node.power_set.end",
		},
		{
			"reset, which may not switch off", func(n *node.Node) { n.PowerState, n.DisablePowerOff = node.PowerOn, true }, force,
			[]node.Msg{node.SetPower{Target: node.Rebooting}, done(""), done(node.PowerOn)},
			"node.power_set.start, POWER_ON req-of-user, node.power_set.end",
		},
		{
			"nothing to do", nil, force,
			[]node.Msg{node.SetPower{Target: node.PowerOff}, node.Done{Already: true, State: node.PowerOff}},
			"node.power_set.start, node.power_set.end",
		},
		{
			"nothing to do after something", nil, force,
			[]node.Msg{node.SetPower{Target: node.PowerOn}, done(node.PowerOn), node.SetPower{Target: node.PowerOn}, node.Done{Already: true, State: node.PowerOn}},
			"node.power_set.start, POWER_ON req-of-user, node.power_set.end, node.power_set.start, node.power_set.end",
		},
		{"the first read fails", nil, force, []node.Msg{node.SetPower{Target: node.PowerOn}, node.Done{ReadErr: "no answer"}}, "node.power_set.start, node.power_set.error"},
		{"the command fails", nil, force, []node.Msg{node.SetPower{Target: node.PowerOn}, node.Done{Err: "refused"}}, "node.power_set.start, node.power_set.error"},
		{
			"no instance", func(n *node.Node) { n.InstanceUUID = "" }, force,
			[]node.Msg{node.SetPower{Target: node.PowerOn}, done(node.PowerOn)},
			"node.power_set.start, node.power_set.end",
		},
		{"sync, case 4c", func(n *node.Node) { n.PowerState = "" }, force, []node.Msg{node.SyncSample{State: node.PowerOn}}, "POWER_ON, node.power_state_corrected.success"},
		{"sync, case 4d", func(n *node.Node) { n.PowerState = node.PowerError }, force, []node.Msg{node.SyncSample{State: node.PowerOff}}, "POWER_OFF, node.power_state_corrected.success"},
		{"sync, case 6", nil, force, []node.Msg{node.SyncSample{State: node.PowerOn}, done(node.PowerOff)}, "node.power_set.start, POWER_OFF, node.power_set.end"},
		{"sync, case 7", nil, believe, []node.Msg{node.SyncSample{State: node.PowerOn}}, "POWER_ON, node.power_state_corrected.success"},
		{"retries exceeded by a mismatch", func(n *node.Node) { n.SyncFails = 3 }, force, []node.Msg{node.SyncSample{State: node.PowerOn}}, "POWER_ON, node.power_state_corrected.success"},
		{"retries exceeded by silence", func(n *node.Node) { n.SyncFails = 3 }, force, []node.Msg{node.SyncSample{Failed: true, Err: "no answer"}}, "node.power_state_corrected.success"},
		{"recovery", func(n *node.Node) { n.Maintenance, n.Fault = true, node.FaultPower }, force, []node.Msg{node.RecoverySample{State: node.PowerOn}}, "POWER_ON, node.power_state_corrected.success"},
		{
			"verification", func(n *node.Node) { n.ProvisionState, n.PowerState = node.Enroll, "" }, force,
			[]node.Msg{node.SetProvision{Verb: "manage"}, done(node.PowerOn)},
			"node.provision_set.start, node.provision_set.end, node.power_state_corrected.success",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines bytes.Buffer
			e := &Encoder{Inner: plain{}, Logger: slog.New(slog.NewTextHandler(&lines, nil))}
			n := &node.Node{UUID: "n1", Driver: "ipmi", Rev: 4, InstanceUUID: instance, ProvisionState: node.Active, PowerState: node.PowerOff, DriverInternalInfo: map[string]any{}}
			if c.edit != nil {
				c.edit(n)
			}
			if got := strings.Join(tell(t, e, n, c.policy, c.msgs...), ", "); got != c.want {
				t.Errorf("told %s\nwanted %s", got, c.want)
			}
			if logged := strings.Contains(lines.String(), "neither on nor off"); logged != (c.name == "retries exceeded by silence") {
				t.Errorf("log: %s", &lines)
			}
		})
	}
}

// An action that was resumed after a crash may find its work done: by us, before the crash.
func TestResumed(t *testing.T) {
	n := &node.Node{UUID: "n1", Rev: 4, InstanceUUID: instance, ProvisionState: node.Active, PowerState: node.PowerOff}
	env := node.Env{Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Self: node.Owner{Name: "c1", Incarnation: 1}, ID: "op", Policy: node.DefaultPolicy(), Facts: node.Facts{PowerTargets: []node.PowerState{node.PowerOn}}}
	env.Meta.RequestID = "req-1" // before the crash; the record keeps it
	d, err := node.Step(env, n, node.SetPower{Target: node.PowerOn})
	if err != nil {
		t.Fatal(err)
	}
	e := &Encoder{Inner: plain{}, Logger: slog.New(slog.DiscardHandler)}
	got := tell(t, e, d.Node, node.DefaultPolicy(), node.Done{Already: true, State: node.PowerOn}, node.SetPower{Target: node.PowerOn}, node.Done{Already: true, State: node.PowerOn})
	if want := []string{"POWER_ON req-1", "node.power_set.end", "node.power_set.start", "node.power_set.end"}; !slices.Equal(got, want) {
		t.Errorf("told %q, wanted %q", got, want)
	}
}

// A request is remembered from the start of an action to its end, and no longer.
func TestRequestOfAnotherAction(t *testing.T) {
	e := &Encoder{Inner: plain{}, Logger: slog.New(slog.DiscardHandler)}
	n := &node.Node{UUID: "n1", Rev: 4, InstanceUUID: instance, ProvisionState: node.Active, PowerState: node.PowerOff}
	got := tell(t, e, n, node.DefaultPolicy(), node.SetPower{Target: node.PowerOn}, node.Done{Err: "refused"}, node.SyncSample{State: node.PowerOn}, node.Done{State: node.PowerOff})
	if got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "node.") }); !slices.Equal(got, []string{"POWER_OFF"}) {
		t.Errorf("told %q: wanted no request id, since the user's request had failed", got)
	}
}

// Nova hears of a change whose notification cannot be written.
func TestBrokenNotification(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e := &Encoder{Inner: plain{err: errors.New("broken")}, Logger: slog.New(slog.DiscardHandler)}
	x := node.Notice{Object: "node", Action: "power_state_corrected", Status: node.Success, At: at, Node: &node.Node{UUID: "n1", InstanceUUID: instance, PowerState: node.PowerOn}}
	if ms, err := e.Encode(x); err != nil || len(ms) != 1 || !Takes(ms[0].Subject) {
		t.Errorf("%v, %v", ms, err)
	}
	x.Node.InstanceUUID = ""
	if _, err := e.Encode(x); err == nil {
		t.Error("the error of the notification was lost")
	}
}
