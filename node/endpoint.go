// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// endpointKeys say which driver_info keys hold a BMC's address, by power interface.
var endpointKeys = map[string]struct{ address, port, fallback string }{
	"ipmitool": {"ipmi_address", "ipmi_port", "623"},
}

// Endpoint is the network address of the node's BMC, "192.0.2.7:623" or "bmc7.example:623", in one spelling for each
// address; "" when its power interface has no BMC, or driver_info no usable address. Names are not resolved: a name and
// its address are two endpoints. Nodes with equal endpoints are behind one BMC (S15).
func Endpoint(n *Node) string {
	keys, ok := endpointKeys[n.Interfaces["power"]]
	if !ok {
		return ""
	}
	host, _ := n.DriverInfo[keys.address].(string)
	host = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
	if host == "" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if host = ip.Unmap().String(); ip.Unmap().Is6() {
			host = "[" + host + "]"
		}
	}
	port := keys.fallback
	switch v := n.DriverInfo[keys.port].(type) {
	case string:
		port = strings.TrimSpace(v)
	case float64:
		port = strconv.FormatFloat(v, 'f', -1, 64)
	case fmt.Stringer: // a JSON number kept as it was written
		port = v.String()
	}
	if p, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(p, 10)
	}
	return host + ":" + port
}
