// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"ferrite/node"
)

// Provision reads the arguments of PUT states/provision but for target, in the order of checks of spec fsm.json
// request_check_order 6 to 13. verb is known and not too new.
func Provision(verb string, args map[string]any, minor int) (node.SetProvision, error) {
	m := node.SetProvision{Verb: verb}
	for _, check := range []func(*node.SetProvision, map[string]any, int) error{
		configdrive, runbook, ramdisk, steps("clean_steps", "clean", 15, func(m *node.SetProvision) *[]node.StepSpec { return &m.CleanSteps }),
		steps("deploy_steps", "deploy", 69, func(m *node.SetProvision) *[]node.StepSpec { return &m.DeploySteps }),
		steps("service_steps", "service", 87, func(m *node.SetProvision) *[]node.StepSpec { return &m.ServiceSteps }),
		password, missing,
	} {
		if err := check(&m, args, minor); err != nil {
			return m, err
		}
	}
	return m, nil
}

// deploys reports verbs that deploy.
func deploys(verb string) bool { return verb == "active" || verb == "deploy" || verb == "rebuild" }

func configdrive(m *node.SetProvision, args map[string]any, minor int) error {
	drive := args["configdrive"]
	if drive == nil || drive == "" {
		return nil
	}
	if !deploys(m.Verb) || m.Verb == "rebuild" && minor < 35 {
		return invalid("Adding a config drive is only supported when setting provision state to active or rebuild (rebuild from 1.35 on)")
	}
	switch d := drive.(type) {
	case string:
		if !isURL(d) && !isBase64(d) {
			return invalid("Invalid configdrive: wanted a http(s) URL, gzipped and base64-encoded text, or an object")
		}
	case map[string]any:
		if minor < 56 {
			return invalid("Providing a JSON object for configdrive is only supported starting with API version 1.56")
		}
		if _, ok := d["vendor_data"]; ok && minor < 59 {
			return invalid("Providing vendor_data in configdrive is only supported starting with API version 1.59")
		}
		for k := range d {
			if !slices.Contains([]string{"meta_data", "network_data", "user_data", "vendor_data"}, k) {
				return invalid("Invalid configdrive: Additional properties are not allowed ('%s' was unexpected)", k)
			}
		}
	default:
		return invalid("Invalid configdrive: found %s, wanted a string or an object", kindOf(drive))
	}
	m.Configdrive = drive
	return nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(s))
	return err == nil
}

func runbook(_ *node.SetProvision, args map[string]any, minor int) error {
	r, given := args["runbook"]
	switch {
	case !given || r == nil:
		return nil
	case minor < 92:
		return notAcceptable("runbook", 92)
	default:
		return &node.Error{Op: "SetProvision", Kind: node.NotFound, Text: "The runbook was not found: this conductor has no runbooks. Give the steps themselves."}
	}
}

func ramdisk(m *node.SetProvision, args map[string]any, minor int) error {
	v, given := args["disable_ramdisk"]
	if !given || v == nil {
		return nil
	}
	since, ok := map[string]int{"clean": 70, "service": 108}[m.Verb]
	if !ok {
		return invalid("\"disable_ramdisk\" is only valid when setting target provision state to clean or service")
	}
	if minor < since {
		return notAcceptable("disable_ramdisk", since)
	}
	var err error
	m.DisableRamdisk, err = ParseBool("disable_ramdisk", v)
	return err
}

// steps reads one kind of step list.
func steps(name, verb string, since int, to func(*node.SetProvision) *[]node.StepSpec) func(*node.SetProvision, map[string]any, int) error {
	return func(m *node.SetProvision, args map[string]any, minor int) error {
		v, given := args[name]
		if !given || v == nil {
			return nil
		}
		if minor < since {
			return notAcceptable(name, since)
		}
		if m.Verb != verb && (verb != "deploy" || !deploys(m.Verb)) {
			return invalid("\"%s\" is only valid when setting target provision state to %s", name, verb)
		}
		list, err := parseSteps(name, v)
		*to(m) = list
		return err
	}
}

var stepInterfaces = []string{"bios", "deploy", "firmware", "management", "power", "raid", "vendor"}

func parseSteps(name string, v any) ([]node.StepSpec, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Schema error for %s: found %s, wanted type 'array'", name, kindOf(v))
	}
	out := make([]node.StepSpec, 0, len(list))
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, invalid("Schema error for %s: item %d is %s, wanted type 'object'", name, i, kindOf(item))
		}
		s, err := parseStep(name, i, m)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func parseStep(name string, i int, m map[string]any) (node.StepSpec, error) {
	var s node.StepSpec
	bad := func(format string, args ...any) (node.StepSpec, error) {
		return s, invalid("Schema error for "+name+": item %d: "+format, append([]any{i}, args...)...)
	}
	for k, v := range m {
		var ok bool
		switch k {
		case "interface":
			s.Interface, ok = v.(string)
			ok = ok && slices.Contains(stepInterfaces, s.Interface)
		case "step":
			s.Step, ok = v.(string)
			ok = ok && s.Step != ""
		case "args":
			s.Args, ok = v.(map[string]any)
		case "priority", "order":
			var f float64
			f, ok = v.(float64)
			ok = ok && f >= 0 && f == float64(int(f))
			if k == "priority" {
				s.Priority = int(f)
			}
		case "execute_on_child_nodes":
			ok = v == false // steps on child nodes are not built
		case "limit_child_node_execution":
			_, ok = v.([]any)
		default:
			return bad("Additional properties are not allowed ('%s' was unexpected)", k)
		}
		if !ok {
			return bad("%s has a value that cannot be used (%s); interfaces are %q", k, kindOf(v), stepInterfaces)
		}
	}
	needed := []string{"interface", "step"}
	if name == "deploy_steps" {
		needed = append(needed, "args", "priority")
	}
	for _, k := range needed {
		if _, ok := m[k]; !ok {
			return bad("'%s' is a required property", k)
		}
	}
	return s, nil
}

func password(m *node.SetProvision, args map[string]any, _ int) error {
	v, given := args["rescue_password"]
	if !given || v == nil {
		return nil
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return invalid("rescue_password: found %s, wanted a string", kindOf(v))
	case m.Verb != "rescue":
		return invalid("\"rescue_password\" is only valid when setting target provision state to rescue")
	}
	m.RescuePassword = s
	return nil
}

// missing refuses a verb without its mandatory argument.
func missing(m *node.SetProvision, _ map[string]any, _ int) error {
	switch {
	case m.Verb == "clean" && m.CleanSteps == nil:
		return invalid("\"clean_steps\" is required when setting target provision state to clean")
	case m.Verb == "service" && m.ServiceSteps == nil:
		return invalid("\"service_steps\" is required when setting target provision state to service")
	case m.Verb == "rescue" && strings.TrimSpace(m.RescuePassword) == "":
		return invalid("A non-empty \"rescue_password\" is required when setting target provision state to rescue")
	}
	return nil
}
