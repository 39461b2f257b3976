// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ferrite/inventory"
	"ferrite/node"
)

// NewNode reads the body of POST /v1/nodes. The UUID is "" when the client chose none.
func NewNode(body map[string]any, minor int) (*node.Node, error) {
	n := &node.Node{ProvisionState: node.Enroll}
	if minor < 11 {
		n.ProvisionState = node.Available
	}
	if err := Nodes.Create(n, body, minor); err != nil {
		return nil, err
	}
	if _, given := body["name"]; given && body["name"] != nil {
		if err := checkName(n.Name, minor); err != nil {
			return nil, invalid("Cannot create node with invalid name '%s': %s", n.Name, err)
		}
	}
	if n.RetiredReason != "" && !n.Retired {
		return nil, invalid("retired_reason needs retired to be true.")
	}
	n.InstanceUUID = strings.ToLower(n.InstanceUUID)
	return n, checkCapacity(n)
}

// PatchNode turns the operations of a PATCH into the message for the node's owner, on top of n.
func PatchNode(n *node.Node, ops []Op, minor int) (node.UpdateNode, error) {
	if err := nodeOps(ops, minor); err != nil {
		return node.UpdateNode{}, err
	}
	want := n.Clone()
	p, err := Nodes.Patch(want, ops)
	if err != nil {
		return node.UpdateNode{}, err
	}
	if slices.Contains(p.Changed, "name") && want.Name != "" {
		if err := checkName(want.Name, minor); err != nil {
			return node.UpdateNode{}, invalid("Node %s: Cannot change name to invalid name '%s': %s", n.UUID, want.Name, err)
		}
	}
	want.InstanceUUID = strings.ToLower(want.InstanceUUID)
	if slices.Contains(p.Changed, "properties") {
		if err := checkCapacity(want); err != nil {
			return node.UpdateNode{}, err
		}
	}
	return node.UpdateNode{Base: n.Outer, Want: want, Changed: p.Changed, Removed: p.Removed}, nil
}

// nodeOps are rules of single operations (spec api-rules.md section 5 row 4 and section 8).
func nodeOps(ops []Op, minor int) error {
	for _, op := range ops {
		if len(op.Parts) > 1 {
			continue
		}
		clear := op.Op == "remove" || op.Value == nil
		switch {
		case op.Path == "/driver" && clear:
			return op.failed("driver is a required property")
		case op.Path == "/name" && op.Op != "remove" && (op.Value == nil || op.Value == ""):
			return op.failed("a name cannot be set to nothing: use op remove")
		case op.Path == "/chassis_uuid" && clear && minor < 25:
			return op.failed("chassis_uuid can be removed from 1.25 on")
		case op.Path == "/instance_name" && op.Op != "remove" && op.Value == "":
			return op.failed("instance_name: '' is too short")
		}
	}
	return nil
}

// NewPort reads the body of POST /v1/ports. NodeUUID holds what the client gave: a UUID, or from 1.94 on a name.
func NewPort(body map[string]any, minor int) (*inventory.Port, error) {
	p := inventory.Defaults()
	if err := Ports.Create(p, body, minor); err != nil {
		return nil, err
	}
	if body["node_uuid"] != nil && body["node_ident"] != nil {
		return nil, invalid("Schema error for port: node_uuid and node_ident are mutually exclusive: wanted one of them")
	}
	if p.NodeUUID == "" {
		return nil, invalid("Schema error for port: 'node_uuid' is a required property")
	}
	return p, nil
}

// PatchPort turns the operations of a PATCH into the message for the owner of the port's node, on top of p.
func PatchPort(p *inventory.Port, ops []Op) (inventory.UpdatePort, error) {
	for _, op := range ops {
		if f := op.Parts[0]; len(op.Parts) == 1 && (f == "address" || f == "node_uuid" || f == "node_ident") &&
			(op.Op == "remove" || op.Value == nil) {
			return inventory.UpdatePort{}, op.failed(f + " is a required property")
		}
	}
	want := *p
	done, err := Ports.Patch(&want, ops)
	return inventory.UpdatePort{Want: &want, Changed: done.Changed}, err
}

// checkName refuses what cannot be a node's name at this microversion.
func checkName(name string, minor int) error {
	switch {
	case slices.Contains(reserved, name):
		return fmt.Errorf("it is a reserved word")
	case IsUUID(name):
		return fmt.Errorf("it looks like a UUID")
	case !IsName(name):
		return fmt.Errorf("wanted 1 to 255 of A-Z a-z 0-9 - . _ ~")
	case minor < 10 && !hostForm.MatchString(name):
		return fmt.Errorf("wanted a host name (more is allowed from 1.10 on)")
	default:
		return nil
	}
}

// checkCapacity wants memory_mb and local_gb as integers of 0 or more (spec api-rules.md section 8).
func checkCapacity(n *node.Node) error {
	var bad []string
	for _, key := range []string{"local_gb", "memory_mb"} {
		if v, ok := n.Properties[key]; ok && v != nil && !countable(v) {
			bad = append(bad, fmt.Sprintf("%s=%v", key, v))
		}
	}
	if bad == nil {
		return nil
	}
	return invalid("The following properties for node %s should be non-negative integers, but provided values are: %s", n.UUID, strings.Join(bad, ", "))
}

func countable(v any) bool {
	switch v := v.(type) {
	case float64:
		return v >= 0 && !math.IsInf(v, 0)
	case json.Number:
		return !strings.HasPrefix(string(v), "-")
	case string:
		i, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return err == nil && i >= 0
	default:
		return false
	}
}

// Trait names: custom ones, and the namespaces of os-traits.
var traitPrefixes = []string{"CUSTOM_", "COMPUTE_", "HW_", "MISC_", "OWNER_", "STORAGE_"}

// MaxTraits is how many traits a node may have.
const MaxTraits = 50

// CheckTrait refuses what cannot be a trait.
func CheckTrait(t string) error {
	ok := len(t) <= 255 && strings.Trim(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
	if ok {
		ok = slices.ContainsFunc(traitPrefixes, func(p string) bool { return strings.HasPrefix(t, p) && len(t) > len(p) })
	}
	if !ok {
		return invalid("The trait '%s' is invalid: wanted at most 255 of A-Z, 0-9 and _, beginning with CUSTOM_ or a prefix of a standard trait.", t)
	}
	return nil
}

// ParseTraits reads the list of PUT traits: sorted, each once.
func ParseTraits(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Schema error for traits: found %s, wanted type 'array'", kindOf(v))
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, invalid("Schema error for traits: found %s in the list, wanted strings", kindOf(item))
		}
		if err := CheckTrait(s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out, CheckTraitCount(len(out))
}

// CheckTraitCount refuses more traits than a node may have.
func CheckTraitCount(n int) error {
	if n > MaxTraits {
		return invalid("A node may have at most %d traits, found %d.", MaxTraits, n)
	}
	return nil
}
