// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"strings"
	"testing"

	"ferrite/node"
)

// A device without a name in Ironic is null; whether it is for good is known all the same (spec ipmi-driver.md section 4).
func TestBootDeviceWithoutANameIsNull(t *testing.T) {
	for _, c := range []struct {
		found node.BootDevice
		want  string
	}{
		{node.BootDevice{Device: "disk", Persistent: true, Known: true}, `{"boot_device":"disk","persistent":true}`},
		{node.BootDevice{Persistent: true, Known: true}, `{"boot_device":null,"persistent":true}`}, // Supermicro's "remote disk"
		{node.BootDevice{Known: true}, `{"boot_device":null,"persistent":false}`},                  // no override
		{node.BootDevice{}, `{"boot_device":null,"persistent":null}`},                              // an answer that says nothing
	} {
		w := newWorld(t)
		id := w.create(`{"driver":"ipmi"}`)
		w.owner.before = func(_ string, m node.Msg) (any, error, bool) {
			_, asked := m.(node.GetBootDevice)
			return c.found, nil, asked
		}
		if got := strings.TrimSpace(w.want(200, "GET", "/v1/nodes/"+id+"/management/boot_device", "").text); got != c.want {
			t.Errorf("%+v is shown as %s: wanted %s", c.found, got, c.want)
		}
	}
}
