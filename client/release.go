// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Released is what kept a node from being used and was ended by force.
type Released struct {
	Node        string     `json:"node_uuid"`
	Name        string     `json:"node_name"`
	Operation   string     `json:"operation"`
	Verb        string     `json:"verb"`
	Phase       string     `json:"phase"`
	Target      string     `json:"target"`
	Conductor   string     `json:"conductor"`
	Since       *time.Time `json:"since"`
	By          string     `json:"requested_by"`
	Request     string     `json:"request_id"`
	Quarantined string     `json:"quarantined"`
}

// Release ends a node's open operation (POST /v1/x/nodes/IDENT/release, Ferrite alone). Without force the service refuses
// and the error says what would be ended. It takes about as long as a permit lasts, 11 s.
func (c *Client) Release(ctx context.Context, ident string, force bool) (*Released, error) {
	out := new(Released)
	path := "/v1/x/nodes/" + url.PathEscape(ident) + "/release"
	if err := c.call(ctx, http.MethodPost, path, map[string]any{"force": force}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// RawNodes is Nodes with the nodes as the service wrote them, nulls and unknown fields included.
func (c *Client) RawNodes(ctx context.Context, q Query) iter.Seq2[*json.RawMessage, error] {
	path := "/v1/nodes"
	if q.Detail {
		path += "/detail"
	}
	return pages[json.RawMessage](ctx, c, path+q.encode(), "nodes")
}

// RawNode is GetNode with the node as the service wrote it.
func (c *Client) RawNode(ctx context.Context, ident string) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, http.MethodGet, nodePath(ident), nil, &out)
	return out, err
}

// WithRoots trusts these certificate authorities instead of the system's. Not after WithHTTPClient.
func WithRoots(pool *x509.CertPool) Option {
	return func(c *Client) {
		if c.http == nil {
			c.http = newHTTP(64)
		}
		if t, ok := c.http.Transport.(*http.Transport); ok {
			t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
	}
}
