// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"net/http"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

func setMaintenance(r *request) error {
	args, err := r.arguments("reason")
	if err != nil {
		return err
	}
	reason, ok := args["reason"].(string)
	if v := args["reason"]; v != nil && !ok {
		return invalid("Invalid reason: wanted a string, found %v", v)
	}
	return r.maintenance(node.SetMaintenance{On: true, Reason: reason})
}

func clearMaintenance(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	return r.maintenance(node.SetMaintenance{})
}

func (r *request) maintenance(m node.SetMaintenance) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.empty(http.StatusAccepted)
	return nil
}

func showBootDevice(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	d, err := ask[node.BootDevice](r, n.UUID, node.GetBootDevice{})
	if err != nil {
		return err
	}
	var device, persistent any // null where the BMC has not said, or names a device that Ironic has no word for
	if d.Device != "" {
		device = d.Device
	}
	if d.Known {
		persistent = d.Persistent
	}
	b := wire.AppendValue(append(r.buffer(), `{"boot_device":`...), device)
	b = wire.AppendValue(append(b, `,"persistent":`...), persistent)
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

func setBootDevice(r *request) error {
	args, err := r.arguments("boot_device", "persistent")
	if err != nil {
		return err
	}
	device, err := neededString(args, "boot_device")
	if err != nil {
		return err
	}
	m := node.SetBootDevice{Device: device}
	if v := args["persistent"]; v != nil {
		if m.Persistent, err = wire.ParseBool("persistent", v); err != nil {
			return err
		}
	}
	return r.changed(m)
}

// changed hands a message to the node's owner and answers 204.
func (r *request) changed(m node.Msg) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

func showBootDevices(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	devices, err := r.s.cfg.Hardware.BootDevices(n)
	if err != nil {
		return asRefusal(err)
	}
	b := wire.AppendStrings(append(r.buffer(), `{"supported_boot_devices":`...), devices)
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

// asRefusal makes a driver's error a refusal (400) unless it says itself what it is.
func asRefusal(err error) error {
	if e := (*node.Error)(nil); errors.As(err, &e) {
		return e
	}
	return refuse(node.Unsupported, "%s", err)
}

func injectNMI(r *request) error {
	if _, err := r.arguments(); err != nil {
		return err
	}
	return r.changed(node.InjectNMI{})
}

// indicator is one light of the fake driver (spec fake-driver.md).
type indicator struct {
	name, component string
	readonly        bool
	states          []string
}

var fakeIndicators = []indicator{
	{"led-0@chassis", "chassis", true, []string{"off", "on"}},
	{"led@system", "system", false, []string{"blinking", "off", "on"}},
}

// indicators are the lights of the request's node: only fake management has any.
func (r *request) indicators() (*node.Node, error) {
	n, err := r.theNode()
	if err == nil && n.Interfaces["management"] != "fake" {
		err = refuse(node.Unsupported, "Driver %s does not support indicators (disabled or not implemented).", n.Driver)
	}
	return n, err
}

func listIndicators(r *request) error {
	if err := r.allow("component"); err != nil {
		return err
	}
	n, err := r.indicators()
	if err != nil {
		return err
	}
	b := append(r.buffer(), `{"indicators":[`...)
	for i, x := range fakeIndicators {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, `{"name":`...), x.name)
		b = wire.AppendString(append(b, `,"component":`...), x.component)
		b = wire.AppendValue(append(b, `,"readonly":`...), x.readonly)
		b = wire.AppendStrings(append(b, `,"states":`...), x.states)
		path := "nodes/" + n.UUID + "/management/indicators/" + x.name
		b = wire.AppendString(append(b, `,"links":[{"href":`...), r.base+"/v1/"+path)
		b = wire.AppendString(append(b, `,"rel":"self"},{"href":`...), r.base+"/"+path)
		b = append(b, `,"rel":"bookmark"}]}`...)
	}
	r.json(http.StatusOK, append(b, `]}`...))
	return nil
}

func showIndicator(r *request) error {
	n, err := r.indicators()
	if err != nil {
		return err
	}
	for _, x := range fakeIndicators {
		if x.name == r.param(1) {
			r.json(http.StatusOK, append(r.buffer(), `{"state":"on"}`...))
			return nil
		}
	}
	return invalid("Node %s has no indicator %q.", n.UUID, r.param(1))
}

func setIndicator(r *request) error {
	if _, err := r.arguments("state"); err != nil {
		return err
	}
	n, err := r.indicators()
	if err != nil {
		return err
	}
	return refuse(node.Unsupported, "Driver %s does not support set_indicator_state (disabled or not implemented).", n.Driver)
}

// unsupported answers what no driver here can do.
func unsupported(feature string) func(*request) error {
	return func(r *request) error {
		n, err := r.theNode()
		if err != nil {
			return err
		}
		return refuse(node.Unsupported, "Driver %s does not support %s (disabled or not implemented).", n.Driver, feature)
	}
}
