// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferrite/httpapi/wire"
	"ferrite/inventory"
	"ferrite/node"
)

// ChassisStore keeps the chassis. They belong to no node, so no actor owns them.
type ChassisStore interface {
	// Chassis is one by its UUID.
	Chassis(uuid string) (*inventory.Chassis, bool)
	// ListChassis are all of them, in order of creation.
	ListChassis() []*inventory.Chassis
	// Change steps and commits a message of package inventory; the reply is named beside it, errors are *node.Error.
	Change(ctx context.Context, meta node.Meta, m node.Msg) (*inventory.Chassis, error)
}

// chassisRoutes are there when a ChassisStore is.
func chassisRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/chassis", handle: createChassis, rank: node.RankBulk},
		{method: http.MethodGet, path: "/chassis", handle: listChassis, rank: node.RankBulk},
		{method: http.MethodPatch, path: "/chassis", handle: missingIdent("chassis_uuid"), local: true},
		{method: http.MethodDelete, path: "/chassis", handle: missingIdent("chassis_uuid"), local: true},
		{method: http.MethodGet, path: "/chassis/detail", handle: listChassisDetail, rank: node.RankBulk},
		{method: http.MethodGet, path: "/chassis/{chassis}", handle: showChassis},
		{method: http.MethodPatch, path: "/chassis/{chassis}", handle: patchChassis},
		{method: http.MethodDelete, path: "/chassis/{chassis}", handle: deleteChassis},
		{method: http.MethodGet, path: "/chassis/{chassis}/nodes", handle: listChassisNodes, rank: node.RankBulk},
		{method: http.MethodGet, path: "/chassis/{chassis}/nodes/detail", handle: listChassisNodesDetail, rank: node.RankBulk},
	}
}

// theChassis resolves the chassis in the request's path: chassis have no names.
func (r *request) theChassis() (*inventory.Chassis, error) { return r.findChassis(r.param(0)) }

func (r *request) findChassis(id string) (*inventory.Chassis, error) {
	if !wire.IsUUID(id) {
		return nil, invalid("Expected a UUID but received %s.", id)
	}
	if r.s.cfg.Chassis != nil {
		if c, ok := r.s.cfg.Chassis.Chassis(strings.ToLower(id)); ok {
			return c, nil
		}
	}
	return nil, refuse(node.NotFound, "Chassis %s could not be found.", id)
}

// changeChassis hands a message to the store of chassis.
func (r *request) changeChassis(m node.Msg) (*inventory.Chassis, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
	defer cancel()
	return r.s.cfg.Chassis.Change(ctx, node.Meta{By: r.user, RequestID: r.global, Minor: r.minor()}, m)
}

func (r *request) showChassis(status int, c *inventory.Chassis, fields []*wire.Field[inventory.Chassis]) {
	r.json(status, wire.Chassis.Append(r.buffer(), &r.view, c, fields))
}

func createChassis(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	body, err := wire.DecodeObject(r.ctx.PostBody())
	if err != nil {
		return err
	}
	c, err := wire.NewChassis(body, r.minor())
	if err != nil {
		return err
	}
	if c.UUID == "" {
		c.UUID = uuid.NewString()
	}
	made, err := r.changeChassis(inventory.CreateChassis{Chassis: c})
	if err != nil {
		return err
	}
	r.location("/v1/chassis/" + made.UUID)
	r.showChassis(http.StatusCreated, made, wire.Chassis.Detail(r.minor()))
	return nil
}

func showChassis(r *request) error {
	if err := r.allow("fields"); err != nil {
		return err
	}
	names, err := r.fields(8)
	if err != nil {
		return err
	}
	c, err := r.theChassis()
	if err != nil {
		return err
	}
	fields, err := chosen(wire.Chassis, names, r.minor())
	if err != nil {
		return err
	}
	r.showChassis(http.StatusOK, c, fields)
	return nil
}

func patchChassis(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	ops, err := wire.Chassis.ParsePatch(r.ctx.PostBody(), r.minor())
	if err != nil {
		return err
	}
	done, err := patched(r, func() (*inventory.Chassis, error) {
		c, err := r.theChassis()
		if err != nil {
			return nil, err
		}
		m, err := wire.PatchChassis(c, ops)
		if err != nil {
			return nil, err
		}
		return r.changeChassis(m)
	})
	if err != nil {
		return err
	}
	r.showChassis(http.StatusOK, done, wire.Chassis.Detail(r.minor()))
	return nil
}

func deleteChassis(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	c, err := r.theChassis()
	if err != nil {
		return err
	}
	if _, err := r.changeChassis(inventory.DeleteChassis{UUID: c.UUID}); err != nil {
		return err
	}
	r.empty(http.StatusNoContent)
	return nil
}

func listChassis(r *request) error {
	return r.listChassis(false, append(slices.Clone(pageArgs), "fields", "detail"))
}

func listChassisDetail(r *request) error { return r.listChassis(true, pageArgs) }

func (r *request) listChassis(whole bool, known []string) error {
	if err := r.allow(known...); err != nil {
		return err
	}
	older := func(a, b *inventory.Chassis) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.UUID, b.UUID))
	}
	l := listing[inventory.Chassis]{
		table: wire.Chassis, envelope: "chassis", since: 8, changing: true, whole: whole, older: older, find: r.findChassis,
		id: func(c *inventory.Chassis) string { return c.UUID },
		walk: func(after *inventory.Chassis, fn func(*inventory.Chassis) bool) {
			for _, c := range r.s.cfg.Chassis.ListChassis() {
				if (after == nil || older(c, after) > 0) && !fn(c) {
					return
				}
			}
		},
	}
	return l.answer(r)
}

func listChassisNodes(r *request) error {
	return r.chassisNodes(false, append(slices.Clone(pageArgs), "fields", "detail"))
}

func listChassisNodesDetail(r *request) error { return r.chassisNodes(true, pageArgs) }

// chassisNodes is the list of nodes with the chassis as one more filter.
func (r *request) chassisNodes(whole bool, known []string) error {
	c, err := r.theChassis()
	if err != nil {
		return err
	}
	return r.listNodes(whole, known, func(n *node.Node) bool { return n.ChassisUUID == c.UUID })
}
