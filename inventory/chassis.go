// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"reflect"
	"time"

	"ferrite/node"
)

// Chassis is a group of nodes, such as a rack or an enclosure (spec api-endpoints.md, chassis). It belongs to no node and
// so to no actor: who commits it makes its revision the condition.
type Chassis struct {
	UUID        string
	Description string
	Extra       map[string]any
	CreatedAt   time.Time
	UpdatedAt   time.Time

	Rev     node.Rev // filled by the store
	Created node.Rev // filled by the store
}

// Requests about chassis. Replies: *Chassis for create and update, nil for delete.
type (
	// CreateChassis stores a new chassis.
	CreateChassis struct{ Chassis *Chassis }
	// UpdateChassis replaces the fields named in Changed (wire names) by those of Want if the chassis' Rev is still
	// Want.Rev; else *node.Error of kind Stale.
	UpdateChassis struct {
		Want    *Chassis
		Changed []string
	}
	// DeleteChassis removes a chassis without nodes.
	DeleteChassis struct{ UUID string }
)

// MsgName names the message.
func (CreateChassis) MsgName() string { return "CreateChassis" }
func (UpdateChassis) MsgName() string { return "UpdateChassis" }
func (DeleteChassis) MsgName() string { return "DeleteChassis" }

// ChassisOf is the UUID of the chassis that a message is about, "" = it is about none.
func ChassisOf(m node.Msg) string {
	switch m := m.(type) {
	case CreateChassis:
		return m.Chassis.UUID
	case UpdateChassis:
		return m.Want.UUID
	case DeleteChassis:
		return m.UUID
	default:
		return ""
	}
}

// ChassisDecision is what StepChassis decided: commit Chassis (or its removal) and Notices in one entry, under the
// condition that the record is still the one that was shown. With no Chassis there are only notices.
type ChassisDecision struct {
	Chassis *Chassis // the record to write or, with Delete, to remove
	Delete  bool
	Notices []node.Notice
}

// StepChassis decides what a message does to a chassis; old is the chassis as it is, nil when there is none, and nodes
// counts those in it. It changes neither. A refusal is a *node.Error; the decision that comes with it holds only the
// start and error notices (N1).
func StepChassis(env node.Env, old *Chassis, nodes int, m node.Msg) (ChassisDecision, error) {
	refuse := func(k node.Kind, format string, args ...any) error {
		return &node.Error{Op: m.MsgName(), Kind: k, Text: fmt.Sprintf(format, args...)}
	}
	tell := func(action string, first, last *Chassis, end node.Status) []node.Notice {
		n := node.Notice{Object: "chassis", Action: action, Status: node.Start, API: true, At: env.Now, Other: first, Request: env.Meta.RequestID}
		e := n
		e.Status, e.Other = end, last
		return []node.Notice{n, e}
	}
	if _, create := m.(CreateChassis); !create && old == nil {
		return ChassisDecision{}, refuse(node.NotFound, "Chassis %s could not be found.", ChassisOf(m))
	}
	switch m := m.(type) {
	case CreateChassis:
		wanted := *m.Chassis
		wanted.CreatedAt, wanted.UpdatedAt, wanted.Rev, wanted.Created = time.Time{}, time.Time{}, 0, 0
		if old != nil {
			return ChassisDecision{Notices: tell("create", &wanted, &wanted, node.Failure)}, refuse(node.Exists, "A chassis with UUID %s already exists.", old.UUID)
		}
		made := wanted
		made.CreatedAt = env.Now
		return ChassisDecision{Chassis: &made, Notices: tell("create", &wanted, &made, node.End)}, nil
	case UpdateChassis:
		if m.Want.Rev != old.Rev {
			return ChassisDecision{}, refuse(node.Stale, "Chassis %s changed while the request was made: it is at revision %d, wanted %d. Read it and try again.", old.UUID, old.Rev, m.Want.Rev)
		}
		wanted := *old
		for _, f := range m.Changed {
			switch f {
			case "description":
				wanted.Description = m.Want.Description
			case "extra":
				wanted.Extra = m.Want.Extra
			default:
				return ChassisDecision{}, refuse(node.Invalid, "Cannot patch /%s of chassis %s: no such field that may be changed.", f, old.UUID)
			}
		}
		stored := wanted
		if !reflect.DeepEqual(*old, wanted) {
			stored.UpdatedAt = env.Now
		}
		return ChassisDecision{Chassis: &stored, Notices: tell("update", &wanted, &stored, node.End)}, nil
	case DeleteChassis:
		if nodes > 0 {
			return ChassisDecision{Notices: tell("delete", old, old, node.Failure)},
				refuse(node.Invalid, "Cannot complete the requested action because chassis %s contains nodes: found %d, wanted none.", old.UUID, nodes)
		}
		return ChassisDecision{Chassis: old, Delete: true, Notices: tell("delete", old, old, node.End)}, nil
	default:
		return ChassisDecision{}, refuse(node.Internal, "no chassis rule for message %T", m)
	}
}
