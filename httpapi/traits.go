// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

func listTraits(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	b := wire.AppendStrings(append(r.buffer(), `{"traits":`...), n.Traits)
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

func setTraits(r *request) error {
	args, err := r.arguments("traits")
	if err != nil {
		return err
	}
	v, err := needed(args, "traits")
	if err != nil {
		return err
	}
	traits, err := wire.ParseTraits(v)
	if err != nil {
		return err
	}
	return r.changed(node.SetTraits{Traits: traits})
}

func clearTraits(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	return r.changed(node.SetTraits{Traits: []string{}})
}

func addTrait(r *request) error {
	trait := r.param(1)
	if len(r.ctx.PostBody()) > 0 {
		return invalid("No body should be provided when setting a trait")
	}
	if err := wire.CheckTrait(trait); err != nil {
		return err
	}
	if err := r.changed(node.SetTraits{Add: trait}); err != nil {
		return err
	}
	r.location("/v1/nodes/" + r.param(0) + "/traits/" + trait)
	return nil
}

func removeTrait(r *request) error { return r.changed(node.SetTraits{Remove: r.param(1)}) }
