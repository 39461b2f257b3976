// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Backup writes the conductor's backup (GET /v1/x/backup) to w, however long it takes. It returns the bytes written; a
// backup that broke off is an error, but whoever keeps it should check it (persistence.CheckBackup) all the same.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	const path = "/v1/x/backup"
	if c.baseErr != nil {
		return 0, c.baseErr
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+path, nil)
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", path, err)
	}
	q.Header.Set("User-Agent", c.agent)
	if c.user != "" {
		q.SetBasicAuth(c.user, c.password)
	}
	long := *c.http
	long.Timeout = 0 // ctx ends it
	r, err := long.Do(q)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		if err != nil {
			return 0, fmt.Errorf("GET %s: %d, and the answer broke off: %w", path, r.StatusCode, err)
		}
		return 0, readError(http.MethodGet, path, r, b)
	}
	n, err := io.Copy(w, r.Body)
	if err != nil {
		return n, fmt.Errorf("GET %s: the backup broke off after %d bytes: %w", path, n, err)
	}
	return n, nil
}

// KeyStatus tells of the key that secrets are sealed with: fingerprints, never keys.
type KeyStatus struct {
	Key      string `json:"key"`       // that seals
	Rotating string `json:"rotating"`  // that is being replaced; "" = no rotation is under way
	Resealed int    `json:"resealed"`  // records sealed anew since the conductor started
	Left     int    `json:"left"`      // records to do, as of the last look
	Problem  string `json:"problem"`   // why a rotation waits
	KeyFile  string `json:"key_file"`  // where the conductor keeps its key
	NextStep string `json:"next_step"` // what the operator has to do

	// Of several conductors:
	Phase   string      `json:"phase,omitempty"`   // keeping, sealing, sealed, dropping; "" = no rotation is under way
	NewKey  string      `json:"new_key,omitempty"` // of a rotation that is under way
	OldKey  string      `json:"old_key,omitempty"` // that may be dropped
	Members []KeyMember `json:"members,omitempty"`
}

// KeyMember tells which keys one of several conductors knows.
type KeyMember struct {
	Name    string   `json:"name"`
	Key     string   `json:"key,omitempty"`    // that it seals with
	Others  []string `json:"others,omitempty"` // that it can open with too
	Problem string   `json:"problem,omitempty"`
}

// KeyStatus asks for the state of the key (GET /v1/x/secrets).
func (c *Client) KeyStatus(ctx context.Context) (KeyStatus, error) {
	var out KeyStatus
	err := c.call(ctx, http.MethodGet, "/v1/x/secrets", nil, &out)
	return out, err
}

// RotateKey begins to seal all secrets with the key in a file on the conductor's machine; "" = with a new one. Several
// conductors take no file but the fingerprint of a key that all know, "" = the only one. KeyStatus tells of the end.
func (c *Client) RotateKey(ctx context.Context, file, fingerprint string) error {
	in := map[string]string{}
	if file != "" {
		in["key_file"] = file
	}
	if fingerprint != "" {
		in["fingerprint"] = fingerprint
	}
	return c.call(ctx, http.MethodPost, "/v1/x/secrets/rotate", in, nil)
}

// DropKey begins to drop the old key of several conductors, when nothing is sealed with it any more. KeyStatus tells of the end.
func (c *Client) DropKey(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/x/secrets/drop", nil, nil)
}
