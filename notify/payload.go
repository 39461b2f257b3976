// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"errors"
	"fmt"
	"time"

	"ferrite/inventory"
	"ferrite/node"
)

// payload is one of Ironic's payload classes: its name, its version and its fields in the order of writing. Every field
// is always written, in the current version (spec notifications.json, payloads).
type payload struct {
	name, version string
	fields        []field
	head          string // JSON up to the fields, filled by sealed
}

// field is one key of ironic_object.data and how its value is written.
type field struct {
	name string
	put  func(w *writer)
}

// The payloads. Those that extend NodePayload carry a version of their own, because each is bumped with it.
var (
	nodePlain          = sealed("NodePayload", "1.17", nodeFields)
	nodeCRUD           = sealed("NodeCRUDPayload", "1.15", nodeFields, crudFields)
	nodeSetPower       = sealed("NodeSetPowerStatePayload", "1.17", nodeFields, toPowerFields)
	nodeCorrectedPower = sealed("NodeCorrectedPowerStatePayload", "1.17", nodeFields, fromPowerFields)
	nodeSetProvision   = sealed("NodeSetProvisionStatePayload", "1.18", nodeFields, provisionFields)
	portCRUD           = sealed("PortCRUDPayload", "1.8", portFields)
	chassisCRUD        = sealed("ChassisCRUDPayload", "1.0", chassisFields)
)

// nodeFields are those of NodePayload, which the other node payloads extend.
var nodeFields = []field{
	{"bios_interface", iface("bios")},
	{"boot_interface", iface("boot")},
	{"boot_mode", text(func(n *node.Node) string { return n.BootMode })},
	{"clean_step", object(func(n *node.Node) map[string]any { return n.CleanStep })},
	{"conductor_group", plain(func(n *node.Node) string { return n.ConductorGroup })},
	{"console_enabled", flag(func(n *node.Node) bool { return n.ConsoleEnabled })},
	{"console_interface", iface("console")},
	{"created_at", date(func(n *node.Node) time.Time { return n.CreatedAt })},
	{"deploy_interface", iface("deploy")},
	{"deploy_step", object(func(n *node.Node) map[string]any { return n.DeployStep })},
	{"description", text(func(n *node.Node) string { return n.Description })},
	{"disable_power_off", flag(func(n *node.Node) bool { return n.DisablePowerOff })},
	{"driver", text(func(n *node.Node) string { return n.Driver })},
	{"extra", object(func(n *node.Node) map[string]any { return n.Extra })},
	{"fault", text(func(n *node.Node) string { return n.Fault })},
	{"inspect_interface", iface("inspect")},
	{"inspection_finished_at", date(func(n *node.Node) time.Time { return n.InspectionFinishedAt })},
	{"inspection_started_at", date(func(n *node.Node) time.Time { return n.InspectionStartedAt })},
	{"instance_uuid", text(func(n *node.Node) string { return n.InstanceUUID })},
	{"last_error", text(func(n *node.Node) string { return n.LastError })},
	{"lessee", text(func(n *node.Node) string { return n.Lessee })},
	{"maintenance", flag(func(n *node.Node) bool { return n.Maintenance })},
	{"maintenance_reason", text(func(n *node.Node) string { return n.MaintenanceReason })},
	{"management_interface", iface("management")},
	{"name", text(func(n *node.Node) string { return n.Name })},
	{"network_interface", iface("network")},
	{"owner", text(func(n *node.Node) string { return n.PlacedOwner })},
	{"power_interface", iface("power")},
	{"power_state", text(func(n *node.Node) string { return string(n.PowerState) })},
	{"properties", object(func(n *node.Node) map[string]any { return n.Properties })},
	{"protected", flag(func(n *node.Node) bool { return n.Protected })},
	{"protected_reason", text(func(n *node.Node) string { return n.ProtectedReason })},
	{"provision_state", text(func(n *node.Node) string { return string(n.ProvisionState) })},
	{"provision_updated_at", date(func(n *node.Node) time.Time { return n.ProvisionUpdatedAt })},
	{"raid_interface", iface("raid")},
	{"rescue_interface", iface("rescue")},
	{"resource_class", text(func(n *node.Node) string { return n.ResourceClass })},
	{"retired", flag(func(n *node.Node) bool { return n.Retired })},
	{"retired_reason", text(func(n *node.Node) string { return n.RetiredReason })},
	{"secure_boot", func(w *writer) { w.maybe(w.n.Node.SecureBoot) }},
	{"storage_interface", iface("storage")},
	{"target_power_state", text(func(n *node.Node) string { return string(n.TargetPowerState) })},
	{"target_provision_state", text(func(n *node.Node) string { return string(n.TargetProvisionState) })},
	{"traits", func(w *writer) { w.strings(w.n.Node.Traits) }},
	{"updated_at", date(func(n *node.Node) time.Time { return n.UpdatedAt })},
	{"uuid", plain(func(n *node.Node) string { return n.UUID })},
	{"vendor_interface", iface("vendor")},
}

var crudFields = []field{
	{"chassis_uuid", text(func(n *node.Node) string { return n.ChassisUUID })},
	{"driver_info", secret(func(n *node.Node) map[string]any { return n.DriverInfo })},
	{"instance_info", secret(func(n *node.Node) map[string]any { return n.InstanceInfo })},
}

var toPowerFields = []field{
	{"to_power", func(w *writer) { w.text(string(w.n.ToPower)) }},
}

var fromPowerFields = []field{
	{"from_power", func(w *writer) { w.text(string(w.n.FromPower)) }},
}

var provisionFields = []field{
	{"driver_internal_info", secret(func(n *node.Node) map[string]any { return n.DriverInternalInfo })},
	{"event", func(w *writer) { w.text(w.n.Event) }},
	{"instance_info", secret(func(n *node.Node) map[string]any { return n.InstanceInfo })},
	{"previous_provision_state", func(w *writer) { w.text(string(w.n.PrevState)) }},
	{"previous_target_provision_state", func(w *writer) { w.text(string(w.n.PrevTarget)) }},
}

var chassisFields = []field{
	{"created_at", func(w *writer) { w.date(w.chassis.CreatedAt) }},
	{"description", func(w *writer) { w.text(w.chassis.Description) }},
	{"extra", func(w *writer) { w.object(w.chassis.Extra, false) }},
	{"updated_at", func(w *writer) { w.date(w.chassis.UpdatedAt) }},
	{"uuid", func(w *writer) { w.string(w.chassis.UUID) }},
}

var portFields = []field{
	{"address", portText(func(p *inventory.Port) string { return p.Address })},
	{"available_for_dynamic_portgroup", func(w *writer) { w.bool(w.port.DynamicPortgroup) }},
	{"category", portText(func(p *inventory.Port) string { return p.Category })},
	{"created_at", func(w *writer) { w.date(w.port.CreatedAt) }},
	{"description", portText(func(p *inventory.Port) string { return p.Description })},
	{"extra", func(w *writer) { w.object(w.port.Extra, false) }},
	{"is_smartnic", func(w *writer) { w.bool(w.port.IsSmartNIC) }},
	{"local_link_connection", func(w *writer) { w.object(w.port.LocalLinkConnection, false) }},
	{"name", portText(func(p *inventory.Port) string { return p.Name })},
	{"node_uuid", func(w *writer) { w.string(w.port.NodeUUID) }},
	{"physical_network", portText(func(p *inventory.Port) string { return p.PhysicalNetwork })},
	{"portgroup_uuid", portText(func(p *inventory.Port) string { return p.PortgroupUUID })},
	{"pxe_enabled", func(w *writer) { w.bool(w.port.PXEEnabled) }},
	{"updated_at", func(w *writer) { w.date(w.port.UpdatedAt) }},
	{"uuid", func(w *writer) { w.string(w.port.UUID) }},
	{"vendor", portText(func(p *inventory.Port) string { return p.Vendor })},
}

// Makers of field writers, by the field's type in notifications.json ("?" = "" is null).

func text(get func(*node.Node) string) func(*writer) { // string?
	return func(w *writer) { w.text(get(w.n.Node)) }
}

func plain(get func(*node.Node) string) func(*writer) { // string that is never null
	return func(w *writer) { w.string(get(w.n.Node)) }
}

func flag(get func(*node.Node) bool) func(*writer) {
	return func(w *writer) { w.bool(get(w.n.Node)) }
}

func date(get func(*node.Node) time.Time) func(*writer) {
	return func(w *writer) { w.date(get(w.n.Node)) }
}

func object(get func(*node.Node) map[string]any) func(*writer) {
	return func(w *writer) { w.object(get(w.n.Node), false) }
}

func secret(get func(*node.Node) map[string]any) func(*writer) {
	return func(w *writer) { w.object(get(w.n.Node), true) }
}

func iface(kind string) func(*writer) {
	return func(w *writer) { w.text(w.n.Node.Interfaces[kind]) }
}

func portText(get func(*inventory.Port) string) func(*writer) {
	return func(w *writer) { w.text(get(w.port)) }
}

func sealed(name, version string, groups ...[]field) *payload {
	p := &payload{name: name, version: version}
	for _, g := range groups {
		p.fields = append(p.fields, g...)
	}
	p.head = fmt.Sprintf(`{"ironic_object.name":%q,"ironic_object.namespace":"ironic","ironic_object.version":%q,"ironic_object.data":{`, name, version)
	return p
}

var (
	errNoNode = errors.New("wanted Notice.Node, found nil")
	errNoPort = errors.New("wanted a *inventory.Port in Notice.Other")

	errNoChassis = errors.New("wanted a *inventory.Chassis in Notice.Other")
)

// bind checks that the notice holds the object that the payload shows, and returns the UUID of the node concerned, "" = none.
func (w *writer) bind(p *payload) (about string, err error) {
	if p == chassisCRUD {
		c, ok := w.n.Other.(*inventory.Chassis)
		if !ok || c == nil {
			return "", fmt.Errorf("%w, found %T", errNoChassis, w.n.Other)
		}
		w.chassis = c
		return "", nil
	}
	if p != portCRUD {
		if w.n.Node == nil {
			return "", errNoNode
		}
		return w.n.Node.UUID, nil
	}
	port, ok := w.n.Other.(*inventory.Port)
	if !ok || port == nil {
		return "", fmt.Errorf("%w, found %T", errNoPort, w.n.Other)
	}
	w.port = port
	return port.NodeUUID, nil
}
