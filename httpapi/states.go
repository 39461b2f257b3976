// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

func showStates(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	r.json(http.StatusOK, wire.States.Append(r.buffer(), &r.view, n, wire.States.Detail(r.minor())))
	return nil
}

// powerTargets are the targets of PUT states/power.
var powerTargets = []node.PowerState{node.PowerOn, node.PowerOff, node.Rebooting, node.SoftPowerOff, node.SoftRebooting}

// setPower checks version and form, in the order of spec power.md section 1 rows 3 to 5; the rest is the node's rules.
func setPower(r *request) error {
	args, err := r.arguments("target", "timeout")
	if err != nil {
		return err
	}
	text, err := neededString(args, "target")
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	target := node.PowerState(text)
	limit, given := args["timeout"]
	given = given && limit != nil
	var timeout int64
	if given {
		if timeout, err = wholeSeconds("timeout", limit); err != nil {
			return err
		}
	}
	// 0 counts as not given here and is refused below (spec power.md section 12).
	if r.minor() < 27 && (timeout != 0 || target == node.SoftPowerOff || target == node.SoftRebooting) {
		return tooNew("soft power actions and timeout", 27)
	}
	if given && (timeout < 1 || timeout > maxSeconds) {
		return invalid("timeout has to be an integer of 1 or more seconds, found %v", limit)
	}
	m := node.SetPower{Target: target, Timeout: time.Duration(timeout) * time.Second}
	if !slices.Contains(powerTargets, target) {
		return invalid("Invalid power state '%s': wanted one of %q.", text, powerTargets)
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.accepted("/v1/nodes/" + r.param(0) + "/states")
	return nil
}

// maxSeconds is the longest timeout that is taken: a year.
const maxSeconds = 366 * 24 * 3600

// wholeSeconds reads a number of seconds; a fraction is cut off (spec power.md section 12).
func wholeSeconds(name string, v any) (int64, error) {
	switch v := v.(type) {
	case float64:
		if v >= -maxSeconds-1 && v < maxSeconds+1 {
			return int64(v), nil
		}
		return maxSeconds + 1, nil // out of range either way
	case string:
		if i, err := strconv.ParseInt(v, 10, 64); err == nil {
			return i, nil
		}
	}
	return 0, invalid("Expected an integer for %s: %v", name, v)
}

// provisionArgs are the arguments of PUT states/provision.
var provisionArgs = []string{
	"target", "configdrive", "clean_steps", "deploy_steps", "rescue_password", "disable_ramdisk", "service_steps", "runbook",
}

// setProvision checks in the order of spec fsm.json request_check_order; the FSM itself is the node's rules. What they
// would refuse anyway is left to them when an argument is wrong too: both are 400.
func setProvision(r *request) error {
	args, err := r.arguments(provisionArgs...)
	if err != nil {
		return err
	}
	target, err := neededString(args, "target")
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	since, known := node.VerbSince(target, "")
	if known && since > r.minor() {
		return tooNew("target "+target, since)
	}
	if n.Maintenance && (target == "active" || target == "deploy" || target == "rebuild") {
		return invalid("The provisioning operation can't be performed on node %s because it's in maintenance mode.", n.UUID)
	}
	if !known {
		return invalid("The requested action \"%s\" could not be understood.", target)
	}
	m, err := wire.Provision(target, args, r.minor())
	if err != nil {
		return err
	}
	if since, _ := node.VerbSince(target, n.ProvisionState); since > r.minor() {
		return tooNew("target "+target+" in state "+string(n.ProvisionState), since)
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.accepted("/v1/nodes/" + r.param(0) + "/states")
	return nil
}

// setRaid stores what cleaning is to make of the disks (spec api-endpoints.md, PUT states/raid).
func setRaid(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	doc, err := wire.DecodeObject(r.ctx.PostBody())
	if err != nil {
		return err
	}
	if i := n.Interfaces["raid"]; i != "no-raid" && i != "" { // else the rules answer 404 before the document counts
		if err := wire.CheckRAID(doc); err != nil {
			return err
		}
	}
	if _, err := r.do(n.UUID, node.SetRaidConfig{Config: doc}); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

// showConsole is GET states/console. A disabled console is not an error.
func showConsole(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	body := `{"console_enabled":false,"console_info":null}`
	if n.ConsoleEnabled { // the fake console, the only one there is, has nothing to tell
		body = `{"console_enabled":true,"console_info":{}}`
	}
	r.json(http.StatusOK, append(r.buffer(), body...))
	return nil
}

func setConsole(r *request) error {
	args, err := r.arguments("enabled")
	if err != nil {
		return err
	}
	v, err := needed(args, "enabled")
	if err != nil {
		return err
	}
	on, err := wire.ParseBool("enabled", v)
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	if _, err := r.do(n.UUID, node.SetConsole{Enabled: on}); err != nil {
		return err
	}
	r.accepted("/v1/nodes/" + r.param(0) + "/states/console")
	return nil
}

func setBootMode(r *request) error {
	return r.bootSetting(func(v any) (node.Msg, error) {
		if v == "uefi" || v == "bios" {
			return node.SetBootMode{Mode: v.(string)}, nil
		}
		return nil, invalid("Invalid boot mode %v: wanted 'uefi' or 'bios'.", v)
	})
}

func setSecureBoot(r *request) error {
	return r.bootSetting(func(v any) (node.Msg, error) {
		on, err := wire.ParseBool("target", v)
		return node.SetSecureBoot{On: on}, err
	})
}

// bootSetting takes a request for a setting of the firmware: 202, and what becomes of it is in the node.
func (r *request) bootSetting(read func(any) (node.Msg, error)) error {
	args, err := r.arguments("target")
	if err != nil {
		return err
	}
	v, err := needed(args, "target")
	if err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	m, err := read(v)
	if err != nil {
		return err
	}
	if n.ProvisionState.Unstable() {
		return refuse(node.Conflict, "Node %s is in state %q: wanted a state in which nothing is under way.", n.UUID, n.ProvisionState)
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.accepted("/v1/nodes/" + r.param(0) + "/states")
	return nil
}
