// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"time"

	"ferrite/inventory"
)

type port = inventory.Port

// Ports is the table of a port's fields (spec api-endpoints.md, port keys).
var Ports = newTable("port", []string{"address"},
	computedUUID("uuid", func(x *port) *string { return &x.UUID }).creatable().short(),
	moment("created_at", func(x *port) *time.Time { return &x.CreatedAt }),
	moment("updated_at", func(x *port) *time.Time { return &x.UpdatedAt }),
	address("address", func(x *port) *string { return &x.Address }).editable().short(),
	object("extra", false, func(x *port) *map[string]any { return &x.Extra }).editable(),
	object("internal_info", true, func(x *port) *map[string]any { return &x.InternalInfo }).since(18),
	boolean("is_smartnic", false, func(x *port) *bool { return &x.IsSmartNIC }).since(53).editable(),
	object("local_link_connection", false, func(x *port) *map[string]any { return &x.LocalLinkConnection }).check(checkLinkConnection).since(19).editable(),
	text("physical_network", 64, func(x *port) *string { return &x.PhysicalNetwork }).since(34).editable(),
	boolean("pxe_enabled", true, func(x *port) *bool { return &x.PXEEnabled }).since(19).editable(),
	text("node_uuid", 36, func(x *port) *string { return &x.NodeUUID }).check(checkUUID("node_uuid")).editable(),
	hidden(text("node_ident", 255, func(x *port) *string { return &x.NodeUUID }).since(94).editable()),
	text("name", 255, func(x *port) *string { return &x.Name }).check(checkPortName).since(88).editable(),
	text("description", 255, func(x *port) *string { return &x.Description }).since(97).editable(),
	text("vendor", 32, func(x *port) *string { return &x.Vendor }).since(100).editable(),
	text("category", 80, func(x *port) *string { return &x.Category }).since(101).editable(),
	boolean("available_for_dynamic_portgroup", true, func(x *port) *bool { return &x.DynamicPortgroup }).since(111).editable(),
	links("links", "ports", "", func(x *port) string { return x.UUID }).short(),
	text("portgroup_uuid", 36, func(x *port) *string { return &x.PortgroupUUID }).check(checkUUID("portgroup_uuid")).since(24).editable(),
)

func hidden[T any](f Field[T]) Field[T] { f.Hidden, f.Compare = true, nil; return f }

// address is a MAC address, in any case on the way in and lower case on the way out.
func address(name string, p func(*port) *string) Field[port] {
	f := plain(name, 0, p)
	f.Set = func(x *port, val any) error {
		s, ok := val.(string)
		if !ok {
			return fmt.Errorf("%s: Expected a MAC address but received %v", name, val)
		}
		mac, err := inventory.NormalizeMAC(s)
		if err == nil {
			*p(x) = mac
		}
		return err
	}
	return f
}

func checkPortName(val any) error {
	if s, ok := val.(string); !ok || s != "" && !IsName(s) {
		return fmt.Errorf("name: wanted letters, digits and .-_~ and not a UUID, found %v", val)
	}
	return nil
}

// linkKeys are what local_link_connection may hold.
var linkKeys = []string{"switch_id", "port_id", "switch_info", "network_type", "hostname", "vtep-logical-switch", "vtep-physical-switch"}

func checkLinkConnection(val any) error {
	m, ok := val.(map[string]any)
	if !ok {
		return fmt.Errorf("local_link_connection: found %s, wanted type 'object', 'null'", kindOf(val))
	}
	for k, v := range m {
		known := false
		for _, l := range linkKeys {
			known = known || l == k
		}
		if !known {
			return fmt.Errorf("local_link_connection: unknown key %q, wanted one of %s", k, strings.Join(linkKeys, ", "))
		}
		if _, ok := v.(string); !ok {
			return fmt.Errorf("local_link_connection: %s is %s, wanted a string", k, kindOf(v))
		}
	}
	return nil
}
