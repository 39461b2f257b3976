// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"strings"

	"ferrite/httpapi/wire"
	"ferrite/node"
	"ferrite/persistence"
)

// emptyList is a list below a node of things that no driver here reports yet.
func emptyList(envelope string, args ...string) func(*request) error {
	return func(r *request) error {
		if err := r.allow(args...); err != nil {
			return err
		}
		if _, err := r.theNode(); err != nil {
			return err
		}
		r.json(http.StatusOK, append(append(append(r.buffer(), `{"`...), envelope...), `":[]}`...))
		return nil
	}
}

// emptyPage is an emptyList with the arguments of a page.
func emptyPage(envelope string) func(*request) error {
	return emptyList(envelope, append([]string{"fields", "detail"}, pageArgs...)...)
}

// absent answers 404 for what a node does not have; the text has one %s for the node.
func absent(text string) func(*request) error {
	return func(r *request) error {
		n, err := r.theNode()
		if err != nil {
			return err
		}
		return refuse(node.NotFound, text, n.UUID)
	}
}

func showBIOSSetting(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	return refuse(node.NotFound, "Node %s doesn't have a BIOS setting '%s'", n.UUID, r.param(1))
}

// listVIFs is always empty: the noop network, the only one built, keeps none.
func listVIFs(r *request) error { return emptyList("vifs")(r) }

// attachVIF accepts and forgets, as Ironic's noop network does.
func attachVIF(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	body, err := wire.DecodeObject(r.ctx.PostBody())
	if err != nil {
		return err
	}
	if id, ok := body["id"].(string); !ok || id == "" {
		return invalid("Schema error for vif: 'id' is a required property")
	}
	for _, k := range []string{"port_uuid", "portgroup_uuid"} {
		if body[k] != nil && r.minor() < 67 {
			return tooNew(k, 67)
		}
	}
	if body["port_uuid"] != nil && body["portgroup_uuid"] != nil {
		return invalid("Cannot specify both port_uuid and portgroup_uuid.")
	}
	return r.noopNetwork(n, "vif_attach")
}

func detachVIF(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	return r.noopNetwork(n, "vif_detach")
}

func (r *request) noopNetwork(n *node.Node, feature string) error {
	if i := n.Interfaces["network"]; i != "noop" {
		return refuse(node.Unsupported, "Network interface %q of node %s does not support %s: it is not built yet.", i, n.UUID, feature)
	}
	r.empty(http.StatusNoContent)
	return nil
}

// listChildren are the nodes whose parent is this one.
func listChildren(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	children := []string{}
	r.s.cfg.Reader.Nodes(nil, func(c *node.Node) bool {
		if c.ParentNode == n.UUID {
			children = append(children, c.UUID)
		}
		return true
	})
	b := wire.AppendStrings(append(r.buffer(), `{"children":`...), children)
	b = wire.AppendString(append(b, `,"links":{"href":`...), r.base+"/v1/nodes?parent_node="+n.UUID)
	r.json(http.StatusOK, append(b, `,"rel":"children"}}`...))
	return nil
}

// showVolume points at the node's volume connectors and targets.
func showVolume(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	b := append(r.buffer(), '{')
	for i, x := range []struct{ key, path string }{{"links", ""}, {"connectors", "/connectors"}, {"targets", "/targets"}} {
		if i > 0 {
			b = append(b, ',')
		}
		path := "nodes/" + n.UUID + "/volume" + x.path
		b = wire.AppendString(append(append(append(b, '"'), x.key...), `":[{"href":`...), r.base+"/v1/"+path)
		b = wire.AppendString(append(b, `,"rel":"self"},{"href":`...), r.base+"/"+path)
		b = append(b, `,"rel":"bookmark"}]`...)
	}
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

// history is the listing of a node's history entries, oldest first.
func (r *request) history(n *node.Node) listing[node.Entry] {
	older := func(a, b *node.Entry) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.UUID, b.UUID)
	}
	walk := func(after *node.Entry, fn func(*node.Entry) bool) {
		var all []*node.Entry
		from := 0 // behind after; the oldest entries are trimmed, so a marker that is gone was before what is left
		r.s.cfg.Reader.Scan(persistence.KindHistory, n.UUID+"/", func(rec persistence.Record) bool {
			if e, ok := rec.Value.(*node.Entry); ok {
				if all = append(all, e); after != nil && e.UUID == after.UUID {
					from = len(all)
				}
			}
			return true
		})
		for _, e := range all[from:] {
			if !fn(e) {
				return
			}
		}
	}
	return listing[node.Entry]{
		table: wire.History, envelope: "history", of: n.UUID, changing: true, walk: walk, older: older,
		id: func(e *node.Entry) string { return e.UUID },
		show: func(e *node.Entry) *node.Entry {
			short := *e
			short.Event = wire.ShortEvent(e.Event)
			return &short
		},
		find: func(id string) (*node.Entry, error) {
			var found *node.Entry
			walk(nil, func(e *node.Entry) bool {
				if e.UUID == id {
					found = e
				}
				return found == nil
			})
			if found == nil {
				return nil, refuse(node.NotFound, "Node history record %s could not be found.", id)
			}
			return found, nil
		},
	}
}

func listHistory(r *request) error { return r.listHistory(false, "detail") }

// listHistoryDetail is what "baremetal node history list --long" asks for.
func listHistoryDetail(r *request) error { return r.listHistory(true) }

func (r *request) listHistory(whole bool, more ...string) error {
	if err := r.allow(append([]string{"limit", "marker", "sort_key", "sort_dir"}, more...)...); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	l := r.history(n)
	l.whole = whole
	return l.answer(r)
}

func showHistory(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	l := r.history(n)
	e, err := l.find(r.param(1))
	if err != nil {
		return err
	}
	r.json(http.StatusOK, wire.History.Append(r.buffer(), &r.view, e, wire.History.Detail(r.minor())))
	return nil
}
