// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Sensor is one thing that a machine measures or watches, as its BMC tells it now.
type Sensor struct {
	ID         string             `json:"sensor_id"` // "Inlet Temp (0x5)"
	Name       string             `json:"name"`
	Type       string             `json:"type"`      // "Temperature"
	Entity     string             `json:"entity_id"` // what it belongs to
	Value      *float64           `json:"value"`     // nil = no number, or none now
	Unit       *string            `json:"unit"`
	Readable   bool               `json:"readable"`
	Status     *string            `json:"status"` // of a sensor with thresholds: "ok", "Upper Critical" ...
	States     []string           `json:"states"` // of one without
	Thresholds map[string]float64 `json:"thresholds"`
}

// Event is an entry of a machine's event log.
type Event struct {
	ID       int        `json:"id"`
	Time     *time.Time `json:"time"` // nil = the BMC does not know
	Record   int        `json:"record_type"`
	Sensor   *string    `json:"sensor_id"`
	Type     *string    `json:"sensor_type"`
	Text     *string    `json:"event"`
	Asserted bool       `json:"asserted"`
	Data     string     `json:"data"` // hexadecimal
}

// BootDevice is what a machine boots from next.
type BootDevice struct {
	Device     *string `json:"boot_device"` // nil = the BMC does not say
	Persistent *bool   `json:"persistent"`
}

func extensionPath(ident, what string) string {
	return "/v1/x/nodes/" + url.PathEscape(ident) + "/" + what
}

// Sensors reads a machine's sensors now (GET /v1/x/nodes/IDENT/sensors, Ferrite alone).
func (c *Client) Sensors(ctx context.Context, ident string) ([]Sensor, error) {
	var out struct{ Sensors []Sensor }
	err := c.call(ctx, http.MethodGet, extensionPath(ident, "sensors"), nil, &out)
	return out.Sensors, err
}

// Events reads the newest entries of a machine's event log, oldest of them first; limit 0 = as many as the service gives.
func (c *Client) Events(ctx context.Context, ident string, limit int) ([]Event, error) {
	var out struct{ Events []Event }
	path := extensionPath(ident, "events")
	if limit > 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	err := c.call(ctx, http.MethodGet, path, nil, &out)
	return out.Events, err
}

// ClearEvents empties a machine's event log.
func (c *Client) ClearEvents(ctx context.Context, ident string) error {
	return c.call(ctx, http.MethodDelete, extensionPath(ident, "events"), nil, nil)
}

// Identify lights a machine's identify light for a while (whole seconds, 255 at most), puts it out (0), or on for good
// (below 0).
func (c *Client) Identify(ctx context.Context, ident string, span time.Duration) error {
	body := map[string]any{"seconds": int(span / time.Second)}
	switch {
	case span < 0:
		body = map[string]any{"state": "on"}
	case span == 0:
		body = map[string]any{"state": "off"}
	}
	return c.call(ctx, http.MethodPut, extensionPath(ident, "identify"), body, nil)
}

// ResetBMC restarts a machine's BMC, which is not the machine. The answer only says that the work has begun.
func (c *Client) ResetBMC(ctx context.Context, ident string, cold bool) error {
	return c.call(ctx, http.MethodPost, nodePath(ident, "vendor_passthru", "bmc_reset"), map[string]any{"warm": !cold}, nil)
}

// GetBootDevice tells what a machine boots from next.
func (c *Client) GetBootDevice(ctx context.Context, ident string) (BootDevice, error) {
	var out BootDevice
	err := c.call(ctx, http.MethodGet, nodePath(ident, "management", "boot_device"), nil, &out)
	return out, err
}

// SetBootDevice sets it, for the next start alone or for all of them.
func (c *Client) SetBootDevice(ctx context.Context, ident, device string, persistent bool) error {
	return c.call(ctx, http.MethodPut, nodePath(ident, "management", "boot_device"), map[string]any{"boot_device": device, "persistent": persistent}, nil)
}
