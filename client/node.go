// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"ferrite/node"
)

// Node is a node as the API shows it. Fields that were not asked for, or that the microversion lacks, are zero; so is
// what the wire has as null.
type Node struct {
	UUID         string `json:"uuid"`
	Name         string `json:"name"`
	InstanceUUID string `json:"instance_uuid"`
	InstanceName string `json:"instance_name"`
	ChassisUUID  string `json:"chassis_uuid"`
	ParentNode   string `json:"parent_node"`

	Driver             string         `json:"driver"`
	DriverInfo         map[string]any `json:"driver_info"`
	DriverInternalInfo map[string]any `json:"driver_internal_info"`
	Properties         map[string]any `json:"properties"`
	InstanceInfo       map[string]any `json:"instance_info"`
	Extra              map[string]any `json:"extra"`
	NetworkData        map[string]any `json:"network_data"`

	PowerState           node.PowerState `json:"power_state"`
	TargetPowerState     node.PowerState `json:"target_power_state"`
	ProvisionState       node.State      `json:"provision_state"`
	TargetProvisionState node.State      `json:"target_provision_state"`
	LastError            string          `json:"last_error"`
	Reservation          string          `json:"reservation"`
	Conductor            string          `json:"conductor"`
	ConductorGroup       string          `json:"conductor_group"`

	Maintenance       bool   `json:"maintenance"`
	MaintenanceReason string `json:"maintenance_reason"`
	Fault             string `json:"fault"`
	Protected         bool   `json:"protected"`
	ProtectedReason   string `json:"protected_reason"`
	Retired           bool   `json:"retired"`
	RetiredReason     string `json:"retired_reason"`
	ConsoleEnabled    bool   `json:"console_enabled"`
	DisablePowerOff   bool   `json:"disable_power_off"`
	AutomatedClean    *bool  `json:"automated_clean"`

	ResourceClass  string         `json:"resource_class"`
	Owner          string         `json:"owner"`
	Lessee         string         `json:"lessee"`
	Shard          string         `json:"shard"`
	Description    string         `json:"description"`
	AllocationUUID string         `json:"allocation_uuid"`
	Traits         []string       `json:"traits"`
	BootMode       string         `json:"boot_mode"`
	SecureBoot     *bool          `json:"secure_boot"`
	CleanStep      map[string]any `json:"clean_step"`
	DeployStep     map[string]any `json:"deploy_step"`
	RaidConfig     map[string]any `json:"raid_config"`

	BIOSInterface       string `json:"bios_interface"`
	BootInterface       string `json:"boot_interface"`
	ConsoleInterface    string `json:"console_interface"`
	DeployInterface     string `json:"deploy_interface"`
	InspectInterface    string `json:"inspect_interface"`
	ManagementInterface string `json:"management_interface"`
	NetworkInterface    string `json:"network_interface"`
	PowerInterface      string `json:"power_interface"`
	RAIDInterface       string `json:"raid_interface"`
	RescueInterface     string `json:"rescue_interface"`
	StorageInterface    string `json:"storage_interface"`
	VendorInterface     string `json:"vendor_interface"`

	CreatedAt          *time.Time `json:"created_at"`
	UpdatedAt          *time.Time `json:"updated_at"`
	ProvisionUpdatedAt *time.Time `json:"provision_updated_at"`
}

// NewNode is the body of CreateNode: what is empty is left to the service. Fields takes further ones by wire name.
type NewNode struct {
	UUID          string
	Name          string
	Driver        string // "ipmi", "fake-hardware"
	DriverInfo    map[string]any
	Properties    map[string]any
	ResourceClass string
	Fields        map[string]any
}

func (n NewNode) body() map[string]any {
	b := make(map[string]any, 6+len(n.Fields))
	for k, v := range n.Fields {
		b[k] = v
	}
	for k, v := range map[string]string{"uuid": n.UUID, "name": n.Name, "driver": n.Driver, "resource_class": n.ResourceClass} {
		if v != "" {
			b[k] = v
		}
	}
	for k, v := range map[string]map[string]any{"driver_info": n.DriverInfo, "properties": n.Properties} {
		if v != nil {
			b[k] = v
		}
	}
	return b
}

// Op is one operation of a JSON patch (RFC 6902): add, replace or remove.
type Op struct {
	Op    string
	Path  string // "/extra/rack"
	Value any    // of add and replace; nil is null
}

func (o Op) body() map[string]any {
	b := map[string]any{"op": o.Op, "path": o.Path}
	if o.Op != "remove" {
		b["value"] = o.Value
	}
	return b
}

// CreateNode enrolls a node (POST /v1/nodes); it starts in provision state enroll.
func (c *Client) CreateNode(ctx context.Context, n NewNode) (*Node, error) {
	out := new(Node)
	if err := c.call(ctx, http.MethodPost, "/v1/nodes", n.body(), out); err != nil {
		return nil, err
	}
	return out, nil
}

// GetNode reads one node by UUID or name.
func (c *Client) GetNode(ctx context.Context, ident string) (*Node, error) {
	return c.getNode(ctx, ident, "")
}

func (c *Client) getNode(ctx context.Context, ident, query string) (*Node, error) {
	out := new(Node)
	if err := c.call(ctx, http.MethodGet, nodePath(ident)+query, nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Patch changes a node's fields and returns the node as it is then.
func (c *Client) Patch(ctx context.Context, ident string, ops ...Op) (*Node, error) {
	body := make([]map[string]any, len(ops))
	for i, o := range ops {
		body[i] = o.body()
	}
	out := new(Node)
	if err := c.call(ctx, http.MethodPatch, nodePath(ident), body, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Delete removes a node from the record.
func (c *Client) Delete(ctx context.Context, ident string) error {
	return c.call(ctx, http.MethodDelete, nodePath(ident), nil, nil)
}

// nodePath is the path of a node and what is below it, each part escaped.
func nodePath(ident string, below ...string) string {
	p := "/v1/nodes/" + url.PathEscape(ident)
	for _, b := range below {
		p += "/" + b
	}
	return p
}
