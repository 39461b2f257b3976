// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"testing"

	"ferrite/node"
)

func TestAuditSaysWhatWasAsked(t *testing.T) {
	for _, row := range []struct {
		m    node.Msg
		want string
	}{
		{node.SetPower{Target: node.Rebooting}, "[action power target rebooting]"},
		{node.SetProvision{Verb: "deleted", Configdrive: "secret"}, "[action provision target deleted]"},
		{node.SetMaintenance{On: true, Reason: "secret"}, "[action maintenance on true]"},
		{node.SetBootDevice{Device: "pxe", Persistent: true}, "[action boot device device pxe persistent true]"},
		{node.UpdateNode{Changed: []string{"extra", "driver_info"}}, "[action update fields extra,driver_info]"},
		{node.DeleteNode{}, "[action DeleteNode]"},
	} {
		if got := fmt.Sprint(asked(row.m)); got != row.want {
			t.Errorf("%T: %s, wanted %s", row.m, got, row.want)
		}
	}
}
