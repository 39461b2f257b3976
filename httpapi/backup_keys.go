// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"net/http"
)

// Secrets rotates the key that secrets are sealed with (L3).
type Secrets interface {
	// RotateKey begins a rotation to the key in a file of the conductor's machine; "" = to a new one.
	RotateKey(file string) error
	// KeyStatus tells how far it is.
	KeyStatus() KeyStatus
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
}

// showKey is GET /v1/x/secrets.
func showKey(r *request) error {
	if err := r.keys(); err != nil {
		return err
	}
	b, err := json.Marshal(r.s.cfg.Secrets.KeyStatus())
	if err != nil {
		return err
	}
	r.json(http.StatusOK, b)
	return nil
}

// rotateKey is POST /v1/x/secrets/rotate with {"key_file": "/a/file/there"} or nothing: 202, and showKey tells the rest.
func rotateKey(r *request) error {
	if err := r.keys(); err != nil {
		return err
	}
	args, err := r.arguments("key_file")
	if err != nil {
		return err
	}
	file := ""
	if _, given := args["key_file"]; given {
		if file, err = neededString(args, "key_file"); err != nil {
			return err
		}
	}
	if err := r.s.cfg.Secrets.RotateKey(file); err != nil {
		return &plainError{status: http.StatusConflict, text: err.Error()}
	}
	r.accepted("/v1/x/secrets")
	return nil
}

func (r *request) keys() error {
	if r.s.cfg.Secrets == nil {
		return &routing{status: http.StatusNotFound}
	}
	return r.operator()
}
