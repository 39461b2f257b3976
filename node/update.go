// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"slices"
	"strings"
)

// setters copy one root field, named as on the wire, from src to dst: the fields that PATCH may touch.
var setters = map[string]func(dst, src *Node){
	"automated_clean":   func(d, s *Node) { d.AutomatedClean = s.AutomatedClean },
	"chassis_uuid":      func(d, s *Node) { d.ChassisUUID = s.ChassisUUID },
	"conductor_group":   func(d, s *Node) { d.ConductorGroup = strings.ToLower(s.ConductorGroup) },
	"description":       func(d, s *Node) { d.Description = s.Description },
	"disable_power_off": func(d, s *Node) { d.DisablePowerOff = s.DisablePowerOff },
	"driver":            func(d, s *Node) { d.Driver = s.Driver },
	"driver_info":       func(d, s *Node) { d.DriverInfo = s.DriverInfo },
	"extra":             func(d, s *Node) { d.Extra = s.Extra },
	"instance_info":     func(d, s *Node) { d.InstanceInfo = s.InstanceInfo },
	"instance_name":     func(d, s *Node) { d.InstanceName = s.InstanceName },
	"instance_uuid":     func(d, s *Node) { d.InstanceUUID = s.InstanceUUID },
	"lessee":            func(d, s *Node) { d.Lessee = s.Lessee },
	"maintenance":       func(d, s *Node) { d.Maintenance = s.Maintenance },
	"name":              func(d, s *Node) { d.Name = s.Name },
	"network_data":      func(d, s *Node) { d.NetworkData = s.NetworkData },
	"owner":             func(d, s *Node) { d.PlacedOwner = s.PlacedOwner },
	"parent_node":       func(d, s *Node) { d.ParentNode = s.ParentNode },
	"properties":        func(d, s *Node) { d.Properties = s.Properties },
	"protected":         func(d, s *Node) { d.Protected = s.Protected },
	"protected_reason":  func(d, s *Node) { d.ProtectedReason = s.ProtectedReason },
	"resource_class":    func(d, s *Node) { d.ResourceClass = s.ResourceClass },
	"retired":           func(d, s *Node) { d.Retired = s.Retired },
	"retired_reason":    func(d, s *Node) { d.RetiredReason = s.RetiredReason },
	"shard":             func(d, s *Node) { d.Shard = s.Shard },
}

// loose are the states in which interfaces and resource class may change (spec fsm.json patch.interfaces).
var loose = []State{Enroll, Inspecting, InspectWait, Manageable, Available}

// update is PATCH (spec api-rules.md section 5, rows 6-8), and start, end or error of node.update.
func (s *step) update(m UpdateNode) (Decision, error) {
	op, n := m.MsgName(), s.n
	if err := s.locked(op); err != nil {
		return s.refusedUpdate(m, err)
	}
	if m.Base != s.old.Outer {
		return Decision{}, refuse(op, n, Stale, "Node %s changed while the request was made: it is at version %d, wanted %d. Read it and try again.", n.UUID, s.old.Outer, m.Base)
	}
	if err := s.patchAllowed(op, m); err != nil {
		return s.refusedUpdate(m, err)
	}
	s.assign(m)
	if err := s.patchRules(op, m); err != nil {
		if kindOf(err) == NoHost { // found before the start event (spec notifications.md section 2)
			return Decision{}, err
		}
		return s.refusedUpdate(m, err)
	}
	if m.Veto != "" {
		return s.refusedUpdate(m, refuse(op, n, cmp.Or(m.VetoKind, Invalid), "%s", m.Veto))
	}
	s.sideEffects(m)
	s.notice(Notice{Action: "update", Status: Start, API: true, Node: s.snap()})
	s.notice(Notice{Action: "update", Status: End, API: true})
	s.d.Reply = s.n
	return s.commit()
}

// refusedUpdate tells a refused PATCH: its notices show the new values, which are not stored.
func (s *step) refusedUpdate(m UpdateNode, err error) (Decision, error) {
	s.assign(m)
	return s.refused("update", err)
}

// assign copies the changed fields.
func (s *step) assign(m UpdateNode) {
	for _, f := range m.Changed {
		if kind, ok := strings.CutSuffix(f, "_interface"); ok {
			in := make(map[string]string, len(s.n.Interfaces))
			for k, v := range s.n.Interfaces {
				in[k] = v
			}
			in[kind] = m.Want.Interfaces[kind]
			s.n.Interfaces = in
			continue
		}
		if set, ok := setters[f]; ok {
			set(s.n, m.Want)
		}
	}
}

// patchAllowed refuses a PATCH while the node is on its way (spec fsm.json patch.transition).
func (s *step) patchAllowed(op string, m UpdateNode) error {
	n := s.old
	onlyInstance := slices.Equal(m.Changed, []string{"instance_uuid"}) && m.Want.InstanceUUID == "" && n.Maintenance
	if n.TargetProvisionState != "" && !fsm[n.ProvisionState].Patch && !onlyInstance {
		return refuse(op, n, Conflict, "Node %s can not be updated while a state transition is in progress.", n.UUID)
	}
	if n.ProvisionState == Inspecting && s.env.Meta.Minor >= 39 {
		return refuse(op, n, Conflict, "Node %s can not be updated while it is in state %q.", n.UUID, n.ProvisionState)
	}
	return nil
}

// patchRules are the rules outside the FSM (spec fsm.json rules_outside_fsm), checked on the new values.
func (s *step) patchRules(op string, m UpdateNode) error {
	a, b := s.old, s.n
	changed := func(f string) bool { return slices.Contains(m.Changed, f) }
	free := slices.Contains(loose, a.ProvisionState)
	if changed("driver") && a.Driver != b.Driver && a.ConsoleEnabled {
		return refuse(op, a, Conflict, "Node %s has its console enabled: wanted it disabled before the driver changes.", a.UUID)
	}
	var kinds []string
	for _, f := range m.Changed {
		if kind, ok := strings.CutSuffix(f, "_interface"); ok && a.Interfaces[kind] != b.Interfaces[kind] {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) > 0 && !free && !a.Maintenance {
		return refuse(op, a, Conflict, "Cannot change interfaces of node %s while it is in state %q: wanted one of %q, or maintenance.", a.UUID, a.ProvisionState, loose)
	}
	if changed("driver") {
		if m.ResetInterfaces {
			b.Interfaces = keep(b.Interfaces, m.Changed)
		}
		kinds = append(kinds, "driver")
	}
	if len(kinds) > 0 || changed("conductor_group") {
		if err := s.hardware(op, b, append([]string{}, kinds...)); err != nil {
			return err
		}
	}
	if a.ResourceClass != "" && a.ResourceClass != b.ResourceClass && !free {
		return refuse(op, a, Conflict, "Cannot change resource_class of node %s while it is in state %q: wanted one of %q.", a.UUID, a.ProvisionState, loose)
	}
	if a.InstanceUUID != "" && b.InstanceUUID != "" && a.InstanceUUID != b.InstanceUUID {
		return refuse(op, a, Conflict, "Node %s is associated with instance %s.", a.UUID, a.InstanceUUID)
	}
	if changed("instance_uuid") && b.InstanceUUID == "" && a.AllocationUUID != "" && !free && !a.Maintenance {
		return refuse(op, a, Conflict, "Cannot remove instance_uuid of node %s while it is in state %q and allocated: set maintenance first.", a.UUID, a.ProvisionState)
	}
	if b.Protected && !a.Protected && a.ProvisionState != Active && a.ProvisionState != Rescue {
		return refuse(op, a, Conflict, "Node %s can not be protected in state %q: wanted \"active\" or \"rescue\".", a.UUID, a.ProvisionState)
	}
	if changed("protected_reason") && b.ProtectedReason != "" && !b.Protected {
		return refuse(op, a, Invalid, "protected_reason needs protected to be true.")
	}
	if b.Retired && !a.Retired && a.ProvisionState == Available {
		return refuse(op, a, Conflict, "Node %s can not be retired in state \"available\": manage it first.", a.UUID)
	}
	if changed("retired_reason") && b.RetiredReason != "" && !b.Retired {
		return refuse(op, a, Invalid, "retired_reason needs retired to be true.")
	}
	if changed("owner") && a.AllocationUUID != "" && a.PlacedOwner != b.PlacedOwner {
		return refuse(op, a, Conflict, "Cannot change owner of node %s while it is allocated.", a.UUID)
	}
	return nil
}

// keep drops all interfaces but those that the patch itself names, so that the others get the new driver's defaults.
func keep(in map[string]string, changed []string) map[string]string {
	out := map[string]string{}
	for _, f := range changed {
		if kind, ok := strings.CutSuffix(f, "_interface"); ok {
			out[kind] = in[kind]
		}
	}
	return out
}

// sideEffects are what a PATCH brings along (spec api-rules.md section 5 row 7).
func (s *step) sideEffects(m UpdateNode) {
	n := s.n
	if !sameLogin(s.old, n) {
		n.Refused = nil
	}
	if slices.Contains(m.Changed, "maintenance") && !n.Maintenance {
		n.MaintenanceReason, n.Fault = "", ""
	}
	if !n.Protected {
		n.ProtectedReason = ""
	}
	if !n.Retired {
		n.RetiredReason = ""
	}
	if slices.Contains(m.Changed, "instance_uuid") && n.InstanceUUID == "" {
		n.AllocationUUID = ""
	}
	if d, _ := n.InstanceInfo["display_name"].(string); slices.Contains(m.Changed, "instance_info") && n.InstanceName == "" {
		n.InstanceName = d
	}
}

// maintenance is PUT and DELETE /maintenance: one commit, no intent (S8).
func (s *step) maintenance(m SetMaintenance) (Decision, error) {
	n := s.n
	n.Maintenance, n.MaintenanceReason = m.On, m.Reason
	if !m.On {
		n.MaintenanceReason, n.Fault = "", ""
	}
	if err := s.locked(m.MsgName()); err != nil {
		return s.refused("maintenance_set", err)
	}
	s.notice(Notice{Action: "maintenance_set", Status: Start, API: true, Node: s.snap()})
	s.notice(Notice{Action: "maintenance_set", Status: End, API: true})
	return s.commit()
}

// MaxTraits is how many traits a node may have.
const MaxTraits = 50

// traits are what a node has after a change.
func (m SetTraits) traits(now []string) []string {
	switch {
	case m.Add != "":
		out := append(slices.Clone(now), m.Add)
		slices.Sort(out)
		return slices.Compact(out)
	case m.Remove != "":
		return slices.DeleteFunc(slices.Clone(now), func(t string) bool { return t == m.Remove })
	default:
		return m.Traits
	}
}

// setTraits changes the traits; it is a node.update for subscribers.
func (s *step) setTraits(m SetTraits) (Decision, error) {
	s.n.Traits = m.traits(s.old.Traits)
	if err := s.locked(m.MsgName()); err != nil {
		return s.refused("update", err)
	}
	if n := len(s.n.Traits); n > MaxTraits {
		return s.refused("update", refuse(m.MsgName(), s.old, Invalid, "A node may have at most %d traits, found %d.", MaxTraits, n))
	}
	if m.Remove != "" && !slices.Contains(s.old.Traits, m.Remove) {
		return s.refused("update", refuse(m.MsgName(), s.old, NotFound, "Node %s doesn't have a trait '%s'", s.old.UUID, m.Remove))
	}
	s.notice(Notice{Action: "update", Status: Start, API: true, Node: s.snap()})
	s.notice(Notice{Action: "update", Status: End, API: true})
	return s.commit()
}
