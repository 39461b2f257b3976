// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// ask hands m to the actor of a node and takes its reply, which is a T.
func ask[T any](r *request, id string, m node.Msg) (T, error) {
	reply, err := r.do(id, m)
	t, ok := reply.(T)
	if err == nil && !ok {
		err = refuse(node.Internal, "%T was answered with %T, wanted %T", m, reply, t)
	}
	return t, err
}

// patchTries is how often a PATCH is applied anew when the thing changed between reading and writing.
const patchTries = 5

// patched makes a PATCH: attempt reads, changes and writes, and does so anew if somebody else wrote meanwhile.
func patched[T any](r *request, attempt func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		done, err := attempt()
		var stale *node.Error
		if !errors.As(err, &stale) || stale.Kind != node.Stale || try == patchTries {
			return done, err
		}
		if err := r.s.fresh(r); err != nil {
			return done, err
		}
	}
}

// chosen are the fields of a thing that are shown: those that the query names, or all.
func chosen[T any](t *wire.Table[T], names []string, minor int) ([]*wire.Field[T], error) {
	if names == nil {
		return t.Detail(minor), nil
	}
	return t.Select(names, minor)
}
