// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"reflect"
	"time"
)

// outerChanged reports whether a client could see a difference (P7: claims, intents and counters are not one).
func outerChanged(a, b *Node) bool {
	return !reflect.DeepEqual(outer(a), outer(b))
}

// outer is a node reduced to what a client can see: a missing object is an empty one, as on the wire.
func outer(n *Node) Node {
	o := *n
	o.Owner, o.Intent, o.SyncFails, o.Outer, o.UpdatedAt, o.Rev, o.Created = Owner{}, nil, 0, 0, time.Time{}, 0, 0
	o.ConsoleWanted, o.Quarantined, o.Fenced, o.Refused = false, "", 0, nil
	for _, m := range []*map[string]any{
		&o.DriverInfo, &o.Properties, &o.InstanceInfo, &o.Extra, &o.NetworkData, &o.DriverInternalInfo,
		&o.CleanStep, &o.DeployStep, &o.ServiceStep, &o.RaidConfig, &o.TargetRaidConfig,
	} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	if len(o.Traits) == 0 {
		o.Traits = nil
	}
	return o
}
