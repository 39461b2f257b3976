// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

const (
	cmdChassisIdentify = 0x04
	cmdColdReset       = 0x02
	cmdWarmReset       = 0x03

	longestLight = 255 * time.Second
)

var (
	_ bmc.Sensors  = driver{}
	_ bmc.EventLog = driver{}
	_ bmc.Manager  = driver{}
)

// ResetBMC is Cold or Warm Reset (IPMI v2.0, sections 20.2 and 20.3), sent once.
func (d driver) ResetBMC(ctx context.Context, n *node.Node, cold bool, p bmc.Permit) error {
	name, cmd := "bmc reset warm", byte(cmdWarmReset)
	if cold {
		name, cmd = "bmc reset cold", cmdColdReset
	}
	_, err := d.send(ctx, n, name, &call{priv: privAdmin, mutating: true, once: true, permit: p}, Raw{netApp, cmd, nil})
	return err
}

// Identify is Chassis Identify (IPMI v2.0, section 28.5). That the light stays on for good is an addition of v2.0.
func (d driver) Identify(ctx context.Context, n *node.Node, span time.Duration, p bmc.Permit) error {
	if span > longestLight {
		return invalid(n, "The identify light can be on for %d seconds at most, or for good: found %s.", int(longestLight.Seconds()), span)
	}
	data := []byte{byte((span + time.Second - 1) / time.Second)} // rounded up: a part of a second is not "off"
	if span < 0 {
		data = []byte{0, 1}
	}
	_, err := d.send(ctx, n, "chassis identify", &call{priv: privOperator, mutating: true, permit: p}, Raw{netChassis, cmdChassisIdentify, data})
	return err
}

// SendRaw sends any request once: nobody here knows what it does.
func (d driver) SendRaw(ctx context.Context, n *node.Node, request []byte, p bmc.Permit) ([]byte, error) {
	if len(request) < 2 || len(request) > maxRaw || request[0] > 0x3f || request[0]&1 != 0 {
		return nil, invalid(n, "A raw request has an even network function below 0x40, a command and up to %d bytes of data: found %s.", maxRaw-2, hexBytes(request))
	}
	return d.send(ctx, n, "raw "+shown(request), &call{priv: privAdmin, mutating: true, once: true, permit: p},
		Raw{request[0], request[1], request[2:]})
}

// shown is a request as errors may tell it: the data of Set User Password is nobody's business (IPMI v2.0, section 22.30).
func shown(request []byte) string {
	if request[0] == netApp && request[1] == 0x47 {
		return hexBytes(request[:2]) + " " + node.Masked
	}
	return hexBytes(request)
}

// maxRaw is what fits into one packet of any BMC's.
const maxRaw = 200

// hexBytes words bytes as Ironic's raw_bytes do.
func hexBytes(b []byte) string {
	words := make([]string, len(b))
	for i, x := range b {
		words[i] = fmt.Sprintf("0x%02x", x)
	}
	return strings.Join(words, " ")
}
