// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"time"

	"ferrite/node"
)

// Port is a network port of a node (spec api-endpoints.md, Ports).
type Port struct {
	UUID                string
	NodeUUID            string
	Address             string // MAC, lower case with colons; unique
	Name                string // unique, "" = none
	Description         string
	Vendor              string
	Category            string
	PhysicalNetwork     string
	PortgroupUUID       string
	Extra               map[string]any
	InternalInfo        map[string]any
	LocalLinkConnection map[string]any
	PXEEnabled          bool // true by default
	IsSmartNIC          bool
	DynamicPortgroup    bool // wire available_for_dynamic_portgroup, true by default
	CreatedAt           time.Time
	UpdatedAt           time.Time

	Rev     node.Rev // filled by the store
	Created node.Rev // filled by the store
}
