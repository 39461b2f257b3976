// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"ferrite/persistence"
)

// Secrets rotates the key that secrets are sealed with (L3).
type Secrets interface {
	// RotateKey begins a rotation to the key in a file of the conductor's machine; "" = to a new one. Several conductors rotate
	// to a key that all know already: to is its fingerprint, "" = the only one.
	RotateKey(ctx context.Context, file, to string) error
	// DropKey begins to drop the old key of several conductors, when nothing is sealed with it any more.
	DropKey(ctx context.Context) error
	// KeyStatus tells how far it is.
	KeyStatus(ctx context.Context) KeyStatus
}

// KeyStatus is the answer to GET /v1/x/secrets: fingerprints, never keys.
type KeyStatus struct {
	Key      string `json:"key"`                 // that seals
	Rotating string `json:"rotating,omitempty"`  // that is being replaced; none = no rotation is under way
	Resealed int    `json:"resealed"`            // records sealed anew since the conductor started
	Left     int    `json:"left"`                // records to do, as of the last look
	Problem  string `json:"problem,omitempty"`   // why a rotation waits
	Kept     string `json:"key_file,omitempty"`  // where the conductor keeps its key
	Advice   string `json:"next_step,omitempty"` // what the operator has to do

	// Of several conductors:
	Phase   string      `json:"phase,omitempty"`   // keeping, sealing, sealed, dropping; none = no rotation is under way
	New     string      `json:"new_key,omitempty"` // of a rotation that is under way
	Old     string      `json:"old_key,omitempty"` // that may be dropped
	Members []KeyMember `json:"members,omitempty"`
}

// KeyMember tells which keys one of several conductors knows.
type KeyMember struct {
	Name    string   `json:"name"`
	Key     string   `json:"key,omitempty"`    // that it seals with
	Others  []string `json:"others,omitempty"` // that it can open with too
	Problem string   `json:"problem,omitempty"`
}

// showKey is GET /v1/x/secrets.
func showKey(r *request) error {
	if err := r.keys(); err != nil {
		return err
	}
	ctx, cancel := r.patience()
	defer cancel()
	b, err := json.Marshal(r.s.cfg.Secrets.KeyStatus(ctx))
	if err != nil {
		return err
	}
	r.json(http.StatusOK, b)
	return nil
}

// rotateKey is POST /v1/x/secrets/rotate with {"key_file": "/a/file/there"}, of several conductors with {"fingerprint": "..."},
// or with nothing: 202, and showKey tells the rest.
func rotateKey(r *request) error {
	if err := r.keys(); err != nil {
		return err
	}
	args, err := r.arguments("key_file", "fingerprint")
	if err != nil {
		return err
	}
	given := map[string]string{}
	for name := range args {
		if given[name], err = neededString(args, name); err != nil {
			return err
		}
	}
	r.tell("action", "rotate the cluster key")
	ctx, cancel := r.patience()
	defer cancel()
	if err := r.s.cfg.Secrets.RotateKey(ctx, given["key_file"], given["fingerprint"]); err != nil {
		return unturned(err)
	}
	r.accepted("/v1/x/secrets")
	return nil
}

// dropKey is POST /v1/x/secrets/drop: 202, and showKey tells the rest.
func dropKey(r *request) error {
	if err := r.keys(); err != nil {
		return err
	}
	if _, err := r.arguments(); err != nil {
		return err
	}
	r.tell("action", "drop the old cluster key")
	ctx, cancel := r.patience()
	defer cancel()
	if err := r.s.cfg.Secrets.DropKey(ctx); err != nil {
		return unturned(err)
	}
	r.accepted("/v1/x/secrets")
	return nil
}

// patience is how long the conductors are asked; nothing of the request is needed from here on.
func (r *request) patience() (context.Context, context.CancelFunc) {
	r.leave()
	return context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
}

// unturned is the answer to a rotation that has not begun.
func unturned(err error) error {
	if errors.Is(err, persistence.ErrNoQuorum) || errors.Is(err, persistence.ErrUnknown) {
		return err
	}
	return &plainError{status: http.StatusConflict, text: err.Error()}
}

func (r *request) keys() error {
	if r.s.cfg.Secrets == nil {
		return &routing{status: http.StatusNotFound}
	}
	return r.operator()
}
