// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"

	"github.com/google/uuid"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

func createNode(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	body, err := wire.DecodeObject(r.ctx.PostBody())
	if err != nil {
		return err
	}
	n, err := wire.NewNode(body, r.minor())
	if err != nil {
		return err
	}
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	}
	if err := r.references(n); err != nil {
		return err
	}
	made, err := ask[*node.Node](r, n.UUID, node.CreateNode{Node: n})
	if err != nil {
		return err
	}
	r.location("/v1/nodes/" + made.UUID)
	r.showNode(http.StatusCreated, made, wire.Nodes.Detail(r.minor()))
	return nil
}

// references resolves what a node's fields name: the parent node and the chassis. What is not there is 400, not 404.
func (r *request) references(n *node.Node) error {
	if n.ChassisUUID != "" {
		c, err := r.findChassis(n.ChassisUUID)
		if err != nil {
			return invalid("Chassis %s could not be found.", n.ChassisUUID)
		}
		n.ChassisUUID = c.UUID
	}
	if n.ParentNode == "" {
		return nil
	}
	self := r.node
	parent, err := r.referenced(n.ParentNode)
	r.node = self
	if err != nil {
		return err
	}
	if parent.UUID == n.UUID {
		return invalid("Node %s cannot be its own parent.", n.UUID)
	}
	n.ParentNode = parent.UUID
	return nil
}

// showNode answers with a node.
func (r *request) showNode(status int, n *node.Node, fields []*wire.Field[node.Node]) {
	r.etag(n)
	r.json(status, wire.Nodes.Append(r.buffer(), &r.view, n, fields))
}

func showNode(r *request) error {
	if err := r.allow("fields"); err != nil {
		return err
	}
	names, err := r.fields(8)
	if err != nil {
		return err
	}
	return r.showFields(names)
}

// showNodeField reads an unknown part behind a node as a field, as Ironic does: /v1/nodes/x/uuid.
func showNodeField(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	return r.showFields(wire.ParseFields([]string{r.param(1)}))
}

func (r *request) showFields(names []string) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	fields, err := r.nodeFields(names)
	if err != nil {
		return err
	}
	r.askConfirmed([]*node.Node{n}, fields)
	r.showNode(http.StatusOK, n, fields)
	return nil
}

func patchNode(r *request) error {
	if err := r.allow("reset_interfaces"); err != nil {
		return err
	}
	ops, err := wire.Nodes.ParsePatch(r.ctx.PostBody(), r.minor())
	if err != nil {
		return err
	}
	reset, err := r.resetInterfaces(ops)
	if err != nil {
		return err
	}
	done, err := patched(r, func() (*node.Node, error) {
		n, err := r.theNode()
		if err != nil {
			return nil, err
		}
		if tag := string(r.ctx.Request.Header.Peek("If-Match")); tag != "" && tag != "*" && tag != etagOf(n) {
			return nil, &plainError{status: http.StatusPreconditionFailed, text: "Node " + n.UUID + " is at version " + etagOf(n) + ", wanted " + tag + " (If-Match)."}
		}
		return r.update(n, ops, reset)
	})
	if err != nil {
		return err
	}
	r.showNode(http.StatusOK, done, wire.Nodes.Detail(r.minor()))
	return nil
}

// update applies ops to n and hands the result to its owner.
func (r *request) update(n *node.Node, ops []wire.Op, reset bool) (*node.Node, error) {
	m, err := wire.PatchNode(n, ops, r.minor())
	if err != nil {
		return nil, err
	}
	m.ResetInterfaces = reset
	check := node.Node{UUID: n.UUID}
	for _, f := range m.Changed {
		switch f {
		case "chassis_uuid":
			check.ChassisUUID = m.Want.ChassisUUID
		case "parent_node":
			check.ParentNode = m.Want.ParentNode
		}
	}
	if err := r.references(&check); err != nil {
		return nil, err
	}
	if check.ParentNode != "" {
		m.Want.ParentNode = check.ParentNode
	}
	if check.ChassisUUID != "" {
		m.Want.ChassisUUID = check.ChassisUUID
	}
	return ask[*node.Node](r, n.UUID, m)
}

// resetInterfaces reads ?reset_interfaces=, which only goes with a change of driver.
func (r *request) resetInterfaces(ops []wire.Op) (bool, error) {
	text, ok := r.arg("reset_interfaces")
	if !ok {
		return false, nil
	}
	if r.minor() < 45 {
		return false, tooNew("reset_interfaces", 45)
	}
	reset, err := wire.ParseBool("reset_interfaces", text)
	if err != nil || !reset {
		return false, err
	}
	for _, op := range ops {
		if op.Path == "/driver" {
			return true, nil
		}
	}
	return false, invalid("The reset_interfaces parameter can only be used when changing the node's driver.")
}

func deleteNode(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	if _, err := r.do(n.UUID, node.DeleteNode{}); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

// validateNode is GET nodes/{n}/validate and nodes/validate?node=.
func validateNode(r *request) error {
	if err := r.allow("node", "node_uuid"); err != nil {
		return err
	}
	var n *node.Node
	var err error
	switch ident, ok := r.arg("node"); {
	case len(r.params) > 0:
		n, err = r.theNode()
	case ok:
		n, err = r.served(r.findNode(ident))
	default:
		ident, ok := r.arg("node_uuid")
		if !ok {
			return invalid("Missing mandatory parameter: node")
		}
		n, err = r.served(r.findNode(ident))
	}
	if err != nil {
		return err
	}
	found := r.s.cfg.Hardware.Validate(n)
	b := append(r.buffer(), '{')
	first := true
	for _, kind := range node.InterfaceKinds {
		if kind == "vendor" {
			continue
		}
		v, ok := found[kind]
		if !ok {
			v.Reason = "Driver " + n.Driver + " does not support " + kind + " (disabled or not implemented)."
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(append(b, '"'), kind...), `":{"result":`...)
		b = wire.AppendValue(b, v.OK)
		if !v.OK || v.Reason != "" { // Ironic gives a reason with false alone; ours may be a warning (S15)
			b = wire.AppendString(append(b, `,"reason":`...), v.Reason)
		}
		b = append(b, '}')
	}
	r.json(http.StatusOK, append(b, '}'))
	return nil
}
