// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// print words a decision for a story: the refusal, what changed, the operation, effects, notices and history.
func (s *story) print(d Decision, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "refused, %s: %s\n", refusal(err).Kind, refusal(err).Text)
	}
	if d.Delete {
		b.WriteString("deleted\n")
	}
	if d.Node != nil && !d.Delete {
		b.WriteString(changes(s.n, d.Node))
		b.WriteString(intentChange(s.n, d.Node))
	}
	for _, e := range d.Effects {
		b.WriteString("effect: " + effect(e) + "\n")
	}
	for _, x := range d.Notices {
		b.WriteString("notice: " + noticeLine(x) + "\n")
	}
	for _, h := range d.History {
		fmt.Fprintf(&b, "history: %s %s %q\n", h.Severity, h.EventType, h.Event)
	}
	if e, ok := d.Reply.(*Error); ok {
		fmt.Fprintf(&b, "reply: %s: %s\n", e.Kind, e.Text)
	}
	if n, ok := d.Reply.(*Node); ok {
		fmt.Fprintf(&b, "reply: the node as written (%v)\n", n == d.Node)
	}
	if d.Wait {
		b.WriteString("the requester waits for the outcome\n")
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// quiet are fields that change with every message and are told in a better way, or not at all.
var quiet = map[string]bool{"Rev": true, "Created": true, "Intent": true, "UpdatedAt": true, "CreatedAt": true, "UUID": true}

// changes lists the fields that differ, old -> new.
func changes(old, n *Node) string {
	if old == nil {
		old = &Node{}
	}
	var b strings.Builder
	x, y := reflect.ValueOf(*old), reflect.ValueOf(*n)
	for i := range x.NumField() {
		name := x.Type().Field(i).Name
		p, q := shown(x.Field(i).Interface()), shown(y.Field(i).Interface())
		if quiet[name] || p == q {
			continue
		}
		fmt.Fprintf(&b, "%s: %s -> %s\n", name, p, q)
	}
	if b.Len() == 0 {
		return "written without a visible change\n"
	}
	return b.String()
}

func shownField(n *Node, name string) string {
	return shown(reflect.ValueOf(*n).FieldByName(name).Interface())
}

// shown words a value of a node's field.
func shown(v any) string {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return "-"
		}
		return v.Format("15:04")
	case Owner:
		return fmt.Sprintf("%s/%d epoch %d", v.Name, v.Incarnation, v.Epoch)
	case map[string]any:
		if len(v) == 0 {
			return "{}"
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func intentChange(old, n *Node) string {
	switch {
	case n.Intent == nil && (old == nil || old.Intent == nil):
		return ""
	case n.Intent == nil:
		return "intent: closed\n"
	}
	i := n.Intent
	text := fmt.Sprintf("intent: %s %q phase %q class %s of %s/%d", i.ID, i.Verb, i.Phase, i.Class, i.Owner.Name, i.Owner.Incarnation)
	if i.Sync {
		text += " by power sync"
	}
	if i.Renewed > 0 {
		text += fmt.Sprintf(" renewed %d times", i.Renewed)
	}
	if n.Reservation() == "" {
		text += " NOT RESERVED"
	}
	return text + "\n"
}

func effect(e Effect) string {
	text := fmt.Sprintf("%s, phase %q", e.Kind, e.Phase)
	switch e.Kind {
	case DrivePower:
		text += fmt.Sprintf(", act %q until %q within %s", e.Act, e.Want, e.Timeout)
		if e.Read {
			text += ", read first"
		}
		if e.Pause > 0 {
			text += fmt.Sprintf(", pause %s", e.Pause)
		}
	case RunStep:
		text += fmt.Sprintf(", %s.%s", e.Step.Interface, e.Step.Step)
	case SetBoot:
		text += fmt.Sprintf(", %s persistent=%v", e.Device, e.Persist)
	case Verify, SendNMI, HoldOff, ResetBMC, SendRaw, Light, ClearLog, None:
	}
	if e.Class != Repeat {
		text += ", " + string(e.Class)
	}
	if e.Hold > 0 {
		text += fmt.Sprintf(", hold %s", e.Hold)
	}
	return text
}

// noticeLine words a notification with the fields that its subscribers look at.
func noticeLine(x Notice) string {
	text := fmt.Sprintf("%s.%s.%s", x.Object, x.Action, x.Status)
	n := x.Node
	switch x.Action {
	case "power_set":
		text += fmt.Sprintf(" to=%q power=%q target=%q error=%q", x.ToPower, n.PowerState, n.TargetPowerState, n.LastError)
	case "power_state_corrected":
		text += fmt.Sprintf(" from=%q power=%q maintenance=%v", x.FromPower, n.PowerState, n.Maintenance)
	case "provision_set":
		text += fmt.Sprintf(" %s: %q(%q) -> %q(%q) error=%q", x.Event, x.PrevState, x.PrevTarget, n.ProvisionState, n.TargetProvisionState, n.LastError)
	case "maintenance_set":
		text += fmt.Sprintf(" maintenance=%v reason=%q", n.Maintenance, n.MaintenanceReason)
	case "console_set", "console_restore", "console_stop":
		text += fmt.Sprintf(" enabled=%v", n.ConsoleEnabled)
	}
	if n.Reservation() != "" {
		text += " by " + n.Reservation()
	}
	if x.API {
		text += " (api)"
	}
	return text
}

// brief words a decision in one line, for tables over all states.
func brief(d Decision, err error) string {
	if err != nil {
		return "refused, " + string(refusal(err).Kind)
	}
	switch {
	case d.Delete:
		return "deleted"
	case d.Node == nil:
		return "nothing"
	}
	text := string(d.Node.ProvisionState)
	if t := d.Node.TargetProvisionState; t != "" {
		text += " (" + string(t) + ")"
	}
	for _, x := range d.Notices {
		text += fmt.Sprintf(", %s.%s", x.Action, x.Status)
	}
	if d.Node.Intent == nil {
		return text
	}
	return text + ", " + d.Node.Intent.Verb
}
