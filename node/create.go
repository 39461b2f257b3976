// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"strings"
	"time"
)

// create fills a new node in and stores it in enroll (available below 1.11, as the API asks for).
func (s *step) create(m CreateNode) (Decision, error) {
	op, n := m.MsgName(), m.Node.Clone()
	s.n = n
	n.ConductorGroup = strings.ToLower(n.ConductorGroup)
	n.CreatedAt, n.UpdatedAt, n.ProvisionUpdatedAt = time.Time{}, time.Time{}, time.Time{} // before a refusal shows it
	if err := s.hardware(op, n, nil); err != nil {
		if kindOf(err) == NoHost { // found before the start event (spec notifications.md section 2)
			return Decision{}, err
		}
		return s.refused("create", err)
	}
	if n.ProvisionState == "" {
		n.ProvisionState = Enroll
	}
	if n.ResourceClass == "" {
		n.ResourceClass = s.env.Policy.ResourceClass
	}
	n.PowerState, n.TargetPowerState, n.TargetProvisionState, n.LastError = "", "", "", ""
	n.Intent, n.Owner, n.SyncFails, n.Refused, n.Outer, n.Rev, n.Created = nil, Owner{}, 0, nil, 0, 0, 0
	s.notice(Notice{Action: "create", Status: Start, API: true, Node: s.snap()})
	n.CreatedAt = s.env.Now
	s.notice(Notice{Action: "create", Status: End, API: true})
	s.d.Create, s.d.Reply = true, n
	return s.commit()
}

// exists refuses a node whose UUID is taken. The notices show the node that was wanted, not the one that is there.
func (s *step) exists(m CreateNode) (Decision, error) {
	err := refuse(m.MsgName(), s.old, Exists, "A node with UUID %s already exists.", s.old.UUID)
	wanted, refusal := Step(s.env, nil, m)
	if refusal != nil {
		return Decision{Notices: wanted.Notices}, refusal
	}
	return Decision{Notices: Unstored(wanted.Notices)}, err
}

// hardware checks driver and interfaces and fills in defaults; changed names the interfaces that were given (nil = all
// non-empty ones).
func (s *step) hardware(op string, n *Node, changed []string) error {
	p := s.env.Policy
	h, ok := FindHardware(n.Driver)
	if !ok || !slices.Contains(p.HardwareTypes, n.Driver) || len(p.Groups) > 0 && !slices.Contains(p.Groups, n.ConductorGroup) {
		return refuse(op, n, NoHost, "No valid host was found. Reason: No conductor service registered which supports driver %s for conductor group %q.", n.Driver, n.ConductorGroup)
	}
	in := make(map[string]string, len(InterfaceKinds))
	for _, kind := range InterfaceKinds {
		name := n.Interfaces[kind]
		if name == "" {
			in[kind] = h.Default(kind, p.Enabled, p.Defaults)
			continue
		}
		in[kind] = name
		if changed != nil && !slices.Contains(changed, kind) && !slices.Contains(changed, "driver") {
			continue
		}
		known, supported := false, h.Supported(kind, p.Enabled)
		for _, e := range p.Enabled[kind] {
			known = known || e == name
		}
		if !known {
			return refuse(op, n, Invalid, "Could not find the following interface in the 'ironic.hardware.interfaces.%s' entrypoint: %s. Valid interfaces are %q.", kind, name, p.Enabled[kind])
		}
		if !slices.Contains(supported, name) {
			return refuse(op, n, Invalid, "The %s interface %q is not compatible with driver %q; supported are %q.", kind, name, n.Driver, supported)
		}
	}
	n.Interfaces = in
	return nil
}

// delete removes a node (spec fsm.json delete.states, protected, instance_uuid.delete).
func (s *step) delete() (Decision, error) {
	op, n := "DeleteNode", s.n
	if n.Protected {
		return s.refused("delete", s.protected(op))
	}
	if n.InstanceUUID != "" && !n.Maintenance {
		return s.refused("delete", refuse(op, n, Conflict, "Node %s is associated with instance %s: wanted none. Remove instance_uuid or set maintenance first.", n.UUID, n.InstanceUUID))
	}
	allowed := n.ProvisionState == Enroll || n.ProvisionState == Manageable || n.ProvisionState == AdoptFailed ||
		n.ProvisionState == Available && s.env.Policy.DeleteAvailable || n.Maintenance
	if !allowed {
		return s.refused("delete", refuse(op, n, Conflict, "Can not delete node %q while it is in provision state %q. Valid provision states to perform deletion are: enroll, manageable, available, adopt failed, or set maintenance mode first.", n.UUID, n.ProvisionState))
	}
	if err := s.locked(op); err != nil {
		return s.refused("delete", err)
	}
	if n.Fenced != 0 && !s.env.Quiet { // the mark would go with the record, and who is enrolled at this BMC next would not wait (S11)
		return s.refused("delete", refuse(op, n, Conflict, "Node %s was taken over in the middle of an operation: a command of its former conductor may reach the BMC for up to %s more. Try again then.", n.UUID, s.env.Policy.Valid+s.env.Policy.Valid/10))
	}
	s.notice(Notice{Action: "delete", Status: Start, API: true, Node: s.old})
	if n.ConsoleEnabled {
		s.notice(Notice{Action: "console_set", Status: Start, Node: s.old})
		n.ConsoleEnabled, n.ConsoleWanted = false, false
		s.notice(Notice{Action: "console_set", Status: End, Node: s.snap()})
	}
	s.notice(Notice{Action: "delete", Status: End, API: true, Node: s.snap()})
	s.own()
	s.d.Delete, s.d.Node = true, n
	return s.d, nil
}

// refused gives a refusal together with the start and error notices that Ironic sends for it (N1).
func (s *step) refused(action string, err error) (Decision, error) {
	return Decision{Notices: RefusedNotices(s.env.Now, action, s.n)}, err
}

// RefusedNotices are the notices of a refused API operation (N1): start and error, both with the node as it was wanted.
func RefusedNotices(at time.Time, action string, n *Node) []Notice {
	return []Notice{
		{Object: "node", Action: action, Status: Start, API: true, At: at, Node: n},
		{Object: "node", Action: action, Status: Failure, API: true, At: at, Node: n},
	}
}

// Unstored turns the notices of an API operation that the store refused (a taken name, MAC address, instance) into
// start and error. The error shows the object as the start did: it was never stored, so it has no time of creation or of
// change (spec notifications.md section 2).
func Unstored(notices []Notice) []Notice {
	var out []Notice
	var start Notice
	for _, x := range notices {
		switch {
		case !x.API:
			continue
		case x.Status == Start:
			start = x
		case x.Status == End && start.Object == x.Object && start.Action == x.Action:
			x.Node, x.Other, x.Status = start.Node, start.Other, Failure
		case x.Status == End:
			x.Status = Failure
		}
		out = append(out, x)
	}
	return out
}
