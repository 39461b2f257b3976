// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"testing"

	"ferrite/node"
)

func TestNoopTakesNamesAlone(t *testing.T) {
	d := Noop()
	if err := d.Boot.SetBootDevice(context.Background(), &node.Node{}, "disk", true, nil); err != nil {
		t.Error(err)
	}
	if err := d.Boot.SetBootDevice(context.Background(), &node.Node{}, "cdrom", true, nil); err == nil {
		t.Error("an unknown boot device was taken")
	}
	b, err := d.Boot.BootDevice(context.Background(), &node.Node{})
	if err != nil || b.Device != "pxe" || !b.Persistent || !b.Known {
		t.Errorf("%+v, %v", b, err)
	}
}
