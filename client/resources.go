// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Port is a network card of a node.
type Port struct {
	UUID       string         `json:"uuid,omitempty"`
	Address    string         `json:"address"` // MAC
	NodeUUID   string         `json:"node_uuid,omitempty"`
	PXEEnabled *bool          `json:"pxe_enabled,omitempty"` // nil in CreatePort = the service's default
	Name       string         `json:"name,omitempty"`
	Extra      map[string]any `json:"extra,omitempty"`
}

// CreatePort adds a port to a node.
func (c *Client) CreatePort(ctx context.Context, p Port) (*Port, error) {
	out := new(Port)
	if err := c.call(ctx, http.MethodPost, "/v1/ports", p, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Ports are a node's ports in detail; with ident "" those of all nodes.
func (c *Client) Ports(ctx context.Context, ident string) ([]*Port, error) {
	path := "/v1/ports/detail"
	if ident != "" {
		path += "?" + url.Values{"node": {ident}}.Encode()
	}
	return collect(pages[Port](ctx, c, path, "ports"))
}

// DeletePort removes a port by its UUID.
func (c *Client) DeletePort(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/ports/"+url.PathEscape(id), nil, nil)
}

// Driver is an enabled hardware type.
type Driver struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Hosts []string `json:"hosts"` // conductors that serve it
}

// Drivers lists the enabled hardware types.
func (c *Client) Drivers(ctx context.Context) ([]*Driver, error) {
	return collect(pages[Driver](ctx, c, "/v1/drivers", "drivers"))
}

// Conductor is a member of the cluster.
type Conductor struct {
	Hostname       string     `json:"hostname"`
	ConductorGroup string     `json:"conductor_group"`
	Alive          bool       `json:"alive"`
	Drivers        []string   `json:"drivers"` // in detail only
	UpdatedAt      *time.Time `json:"updated_at"`
}

// Conductors lists the members in detail.
func (c *Client) Conductors(ctx context.Context) ([]*Conductor, error) {
	return collect(pages[Conductor](ctx, c, "/v1/conductors?detail=True", "conductors"))
}

// Versions are the microversions that the service speaks, lowest and highest.
func (c *Client) Versions(ctx context.Context) (lowest, highest string, err error) {
	var doc struct {
		Version struct {
			Min string `json:"min_version"`
			Max string `json:"version"`
		} `json:"version"`
	}
	err = c.call(ctx, http.MethodGet, "/v1", nil, &doc)
	return doc.Version.Min, doc.Version.Max, err
}

// Do sends any other request: path from the root ("/v1/nodes/x/management/boot_device"), in as JSON (nil = no body); out
// takes the answer (nil = not wanted, *json.RawMessage = as it is).
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	return c.call(ctx, method, path, in, out)
}
