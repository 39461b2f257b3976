// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import "ferrite/node"

// family is an action of an object with its payload and the statuses that it knows (spec notifications.json, events).
type family struct {
	object, action string
	payload        *payload
	statuses       []node.Status
}

var (
	usual = []node.Status{node.Start, node.End, node.Failure}
	every = []node.Status{node.Start, node.End, node.Success, node.Failure}
	done  = []node.Status{node.Success}
)

// families lists every notification that we send. A new family is a row here and, if need be, a payload.
var families = []family{
	{"node", "create", nodeCRUD, usual},
	{"node", "update", nodeCRUD, usual},
	{"node", "delete", nodeCRUD, usual},
	{"node", "maintenance_set", nodePlain, usual},
	{"node", "console_set", nodePlain, usual},
	{"node", "console_restore", nodePlain, usual},
	{"node", "console_stop", nodePlain, usual},
	{"node", "power_set", nodeSetPower, usual},
	{"node", "power_state_corrected", nodeCorrectedPower, done},
	{"node", "provision_set", nodeSetProvision, every},
	{"chassis", "create", chassisCRUD, usual},
	{"chassis", "update", chassisCRUD, usual},
	{"chassis", "delete", chassisCRUD, usual},
	{"port", "create", portCRUD, usual},
	{"port", "update", portCRUD, usual},
	{"port", "delete", portCRUD, usual},
}

// eventKey finds an event by the words of a notice.
type eventKey struct {
	object, action string
	status         node.Status
}

type event struct {
	eventType string
	payload   *payload
}

var events = func() map[eventKey]event {
	m := make(map[eventKey]event)
	for _, f := range families {
		for _, s := range f.statuses {
			m[eventKey{f.object, f.action, s}] = event{"baremetal." + f.object + "." + f.action + "." + string(s), f.payload}
		}
	}
	return m
}()
