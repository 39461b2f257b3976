// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"ferrite/node"
)

// Nodes is the table of a node's fields (spec node.json).
var Nodes = newTable("node", []string{"driver"},
	computedUUID("uuid", func(x *node.Node) *string { return &x.UUID }).creatable().short(),
	moment("created_at", func(x *node.Node) *time.Time { return &x.CreatedAt }),
	moment("updated_at", func(x *node.Node) *time.Time { return &x.UpdatedAt }),
	text("name", 255, func(x *node.Node) *string { return &x.Name }).since(5).editable().short(),
	text("instance_uuid", 36, func(x *node.Node) *string { return &x.InstanceUUID }).check(checkUUID("instance_uuid")).editable().short(),
	boolean("maintenance", false, func(x *node.Node) *bool { return &x.Maintenance }).editable().short(),
	text("power_state", 0, func(x *node.Node) *node.PowerState { return &x.PowerState }).short(),
	provisionState("provision_state", func(x *node.Node) *node.State { return &x.ProvisionState }).short(),
	maybe("automated_clean", func(x *node.Node) **bool { return &x.AutomatedClean }).since(47).editable(),
	iface("bios", 40),
	iface("boot", 31),
	text("boot_mode", 16, func(x *node.Node) *string { return &x.BootMode }).since(75).ignored(),
	text("chassis_uuid", 36, func(x *node.Node) *string { return &x.ChassisUUID }).check(checkUUID("chassis_uuid")).editable().unsorted(),
	object("clean_step", true, func(x *node.Node) *map[string]any { return &x.CleanStep }).since(7),
	plain("conductor_group", 255, func(x *node.Node) *string { return &x.ConductorGroup }).check(checkGroup).since(46).editable(),
	boolean("console_enabled", false, func(x *node.Node) *bool { return &x.ConsoleEnabled }).ignored(),
	iface("console", 31),
	boolean("disable_power_off", false, func(x *node.Node) *bool { return &x.DisablePowerOff }).since(95).editable(),
	iface("deploy", 31),
	object("deploy_step", true, func(x *node.Node) *map[string]any { return &x.DeployStep }).since(44),
	text("description", 4096, func(x *node.Node) *string { return &x.Description }).since(51).editable(),
	plain("driver", 255, func(x *node.Node) *string { return &x.Driver }).check(checkDriver).editable(),
	object("driver_info", true, func(x *node.Node) *map[string]any { return &x.DriverInfo }).editable(),
	object("driver_internal_info", true, func(x *node.Node) *map[string]any { return &x.DriverInternalInfo }).since(3),
	object("extra", false, func(x *node.Node) *map[string]any { return &x.Extra }).editable(),
	text("fault", 0, func(x *node.Node) *string { return &x.Fault }).since(42),
	iface("firmware", 86),
	text("health", 0, func(x *node.Node) *string { return &x.Health }).since(109),
	moment("inspection_finished_at", func(x *node.Node) *time.Time { return &x.InspectionFinishedAt }).since(6),
	moment("inspection_started_at", func(x *node.Node) *time.Time { return &x.InspectionStartedAt }).since(6),
	iface("inspect", 31),
	object("instance_info", true, func(x *node.Node) *map[string]any { return &x.InstanceInfo }).editable(),
	text("instance_name", 255, func(x *node.Node) *string { return &x.InstanceName }).since(104).editable(),
	text("last_error", 0, func(x *node.Node) *string { return &x.LastError }),
	text("lessee", 255, func(x *node.Node) *string { return &x.Lessee }).since(65).editable(),
	text("maintenance_reason", 0, func(x *node.Node) *string { return &x.MaintenanceReason }),
	iface("management", 31),
	object("network_data", false, func(x *node.Node) *map[string]any { return &x.NetworkData }).check(checkNetworkData).since(66).editable(),
	iface("network", 20),
	text("owner", 255, func(x *node.Node) *string { return &x.PlacedOwner }).since(50).editable(),
	text("parent_node", 255, func(x *node.Node) *string { return &x.ParentNode }).since(83).editable(),
	iface("power", 31),
	object("properties", false, func(x *node.Node) *map[string]any { return &x.Properties }).editable(),
	boolean("protected", false, func(x *node.Node) *bool { return &x.Protected }).since(48).patchable(),
	text("protected_reason", 0, func(x *node.Node) *string { return &x.ProtectedReason }).since(48).patchable(),
	moment("provision_updated_at", func(x *node.Node) *time.Time { return &x.ProvisionUpdatedAt }),
	object("raid_config", false, func(x *node.Node) *map[string]any { return &x.RaidConfig }).since(12),
	iface("raid", 31),
	iface("rescue", 38),
	computed("reservation", "string or null", func(b []byte, _ *View, x *node.Node) []byte { return appendNullable(b, x.Reservation()) }).
		sorted(func(x *node.Node) string { return x.Reservation() }),
	text("resource_class", 80, func(x *node.Node) *string { return &x.ResourceClass }).since(21).editable(),
	boolean("retired", false, func(x *node.Node) *bool { return &x.Retired }).since(61).editable(),
	text("retired_reason", 0, func(x *node.Node) *string { return &x.RetiredReason }).since(61).editable(),
	maybe("secure_boot", func(x *node.Node) **bool { return &x.SecureBoot }).since(75).ignored(),
	object("service_step", true, func(x *node.Node) *map[string]any { return &x.ServiceStep }).since(87),
	text("shard", 255, func(x *node.Node) *string { return &x.Shard }).since(82).editable(),
	iface("storage", 33),
	text("target_power_state", 0, func(x *node.Node) *node.PowerState { return &x.TargetPowerState }),
	text("target_provision_state", 0, func(x *node.Node) *node.State { return &x.TargetProvisionState }),
	object("target_raid_config", false, func(x *node.Node) *map[string]any { return &x.TargetRaidConfig }).since(12),
	computed("traits", "array of string", func(b []byte, _ *View, x *node.Node) []byte { return AppendStrings(b, x.Traits) }).since(37),
	iface("vendor", 31),
	links("links", "nodes", "", nodeID).short(),
	computed("conductor", "string or null", appendConductor).since(49),
	text("allocation_uuid", 0, func(x *node.Node) *string { return &x.AllocationUUID }).since(52).unsorted(),
	links("ports", "nodes", "/ports", nodeID),
	links("states", "nodes", "/states", nodeID).since(14),
	links("portgroups", "nodes", "/portgroups", nodeID).since(24),
	links("volume", "nodes", "/volume", nodeID).since(32),
)

// States are the fields of GET states, which has no links (spec api-endpoints.md).
var States = newTable("states", nil,
	moment("provision_updated_at", func(x *node.Node) *time.Time { return &x.ProvisionUpdatedAt }),
	boolean("console_enabled", false, func(x *node.Node) *bool { return &x.ConsoleEnabled }),
	text("last_error", 0, func(x *node.Node) *string { return &x.LastError }),
	text("power_state", 0, func(x *node.Node) *node.PowerState { return &x.PowerState }),
	provisionState("provision_state", func(x *node.Node) *node.State { return &x.ProvisionState }),
	text("target_power_state", 0, func(x *node.Node) *node.PowerState { return &x.TargetPowerState }),
	text("target_provision_state", 0, func(x *node.Node) *node.State { return &x.TargetProvisionState }),
	object("raid_config", false, func(x *node.Node) *map[string]any { return &x.RaidConfig }).since(12),
	object("target_raid_config", false, func(x *node.Node) *map[string]any { return &x.TargetRaidConfig }).since(12),
	text("boot_mode", 0, func(x *node.Node) *string { return &x.BootMode }).since(75),
	maybe("secure_boot", func(x *node.Node) **bool { return &x.SecureBoot }).since(75),
)

func nodeID(x *node.Node) string { return x.UUID }

func appendConductor(b []byte, v *View, x *node.Node) []byte {
	if v.Conductor == nil {
		return append(b, "null"...)
	}
	return appendNullable(b, v.Conductor(x))
}

// computedUUID is the identity: POST may choose it, nobody changes it.
func computedUUID[T any](name string, p func(*T) *string) Field[T] {
	f := plain(name, 36, p).check(checkUUID(name))
	set := f.Set
	f.Set = func(x *T, val any) error {
		if err := set(x, val); err != nil {
			return err
		}
		*p(x) = strings.ToLower(*p(x))
		return nil
	}
	return f
}

// ignored fields are the driver's: POST checks the value and leaves it.
func (f Field[T]) ignored() Field[T] {
	set := f.Set
	f.Create = true
	f.Set = func(_ *T, val any) error { return set(new(T), val) }
	return f
}

// sorted makes a computed string a sort key.
func (f Field[T]) sorted(get func(*T) string) Field[T] {
	f.Compare = func(a, b *T) int { return strings.Compare(get(a), get(b)) }
	return f
}

// iface is the interface of one kind: "" stands for the driver's default.
func iface(kind string, since int) Field[node.Node] {
	name := kind + "_interface"
	return Field[node.Node]{
		Name: name, Type: "string", Since: since, Create: true, Patch: true,
		Append:  func(b []byte, _ *View, x *node.Node) []byte { return appendNullable(b, x.Interfaces[kind]) },
		Compare: func(a, c *node.Node) int { return strings.Compare(a.Interfaces[kind], c.Interfaces[kind]) },
		Set: func(x *node.Node, val any) error {
			s, err := parseString(name, val, 255)
			if err != nil {
				return err
			}
			m := maps.Clone(x.Interfaces)
			if m == nil {
				m = map[string]string{}
			}
			m[kind] = s
			x.Interfaces = m
			return nil
		},
	}
}

// provisionState shows states as old clients know them: below 1.2 "available" is null, below 1.39 "inspect wait" is
// "inspecting".
func provisionState(name string, p func(*node.Node) *node.State) Field[node.Node] {
	f := text(name, 0, p)
	f.Append = func(b []byte, v *View, x *node.Node) []byte {
		s := *p(x)
		if v.Minor < 39 && s == node.InspectWait {
			s = node.Inspecting
		}
		if v.Minor < 2 && s == node.Available {
			s = ""
		}
		return appendNullable(b, s)
	}
	return f
}

var groupForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)

func checkGroup(val any) error {
	if s, ok := val.(string); !ok || !groupForm.MatchString(s) {
		return fmt.Errorf("conductor_group: %v does not match '%s'", val, groupForm)
	}
	return nil
}

func checkDriver(val any) error {
	if s, ok := val.(string); !ok || s == "" {
		return fmt.Errorf("driver: wanted the name of a hardware type, found %v", val)
	}
	return nil
}

// checkNetworkData checks the outline of OpenStack's network_data document.
func checkNetworkData(val any) error {
	m, _ := val.(map[string]any)
	for k, v := range m {
		switch k {
		case "links", "networks", "services":
			if _, ok := v.([]any); !ok {
				return fmt.Errorf("network_data: %s is %s, wanted type 'array'", k, kindOf(v))
			}
		default:
			return fmt.Errorf("network_data: Additional properties are not allowed ('%s' was unexpected)", k)
		}
	}
	return nil
}
