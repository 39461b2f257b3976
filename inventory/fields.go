// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"regexp"
	"strings"
)

// setters copy one root field, named as on the wire, from src to dst: the fields of a port that PATCH may touch.
var setters = map[string]func(dst, src *Port){
	"address":                         func(d, s *Port) { d.Address = s.Address },
	"available_for_dynamic_portgroup": func(d, s *Port) { d.DynamicPortgroup = s.DynamicPortgroup },
	"category":                        func(d, s *Port) { d.Category = s.Category },
	"description":                     func(d, s *Port) { d.Description = s.Description },
	"extra":                           func(d, s *Port) { d.Extra = s.Extra },
	"is_smartnic":                     func(d, s *Port) { d.IsSmartNIC = s.IsSmartNIC },
	"local_link_connection":           func(d, s *Port) { d.LocalLinkConnection = s.LocalLinkConnection },
	"name":                            func(d, s *Port) { d.Name = s.Name },
	"node_ident":                      func(d, s *Port) { d.NodeUUID = s.NodeUUID },
	"node_uuid":                       func(d, s *Port) { d.NodeUUID = s.NodeUUID },
	"physical_network":                func(d, s *Port) { d.PhysicalNetwork = s.PhysicalNetwork },
	"portgroup_uuid":                  func(d, s *Port) { d.PortgroupUUID = s.PortgroupUUID },
	"pxe_enabled":                     func(d, s *Port) { d.PXEEnabled = s.PXEEnabled },
	"vendor":                          func(d, s *Port) { d.Vendor = s.Vendor },
}

// Defaults is a port as it is before a client has said anything: what POST starts from.
func Defaults() *Port { return &Port{PXEEnabled: true, DynamicPortgroup: true} }

var mac = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)

// NormalizeMAC gives a MAC address as it is stored: lower case. Anything but six pairs with colons is an error.
func NormalizeMAC(address string) (string, error) {
	a := strings.ToLower(address)
	if !mac.MatchString(a) {
		return "", fmt.Errorf("Expected a MAC address but received %q: wanted six pairs of hexadecimal digits with colons, like 52:54:00:cf:2d:31", address) // a text for clients, as Ironic words it
	}
	return a, nil
}
