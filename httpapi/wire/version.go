// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// The microversions served: 1.MinMinor to 1.MaxMinor. Every node field and node sub-resource up to MaxMinor exists.
const (
	MinMinor = 1
	MaxMinor = 115
)

// Headers of the version negotiation.
const (
	HeaderVersion    = "X-OpenStack-Ironic-API-Version"
	HeaderMinVersion = "X-OpenStack-Ironic-API-Minimum-Version"
	HeaderMaxVersion = "X-OpenStack-Ironic-API-Maximum-Version"
	HeaderStandard   = "OpenStack-API-Version"
)

// Version is what a request asked for.
type Version struct {
	Minor  int
	Number bool // a number was given, not "latest" or nothing
}

// VersionString is a minor as it stands in headers and documents: "1.115".
func VersionString(minor int) string { return "1." + strconv.Itoa(minor) }

// ParseVersion reads the two headers; "" is an absent one. The standard header wins. The error's text is for the client
// (406).
func ParseVersion(ironic, standard string) (Version, error) {
	asked := standardVersion(standard)
	if asked == "" {
		asked = strings.TrimSpace(ironic)
	}
	if asked == "" {
		return Version{Minor: MinMinor}, nil
	}
	if strings.EqualFold(asked, "latest") {
		return Version{Minor: MaxMinor}, nil
	}
	majorText, minorText, ok := strings.Cut(asked, ".")
	major, err := number(majorText)
	minor, err2 := number(minorText)
	supported := fmt.Sprintf("The supported version range is: [%s, %s].", VersionString(MinMinor), VersionString(MaxMinor))
	switch {
	case !ok || err != nil || err2 != nil:
		return Version{}, fmt.Errorf("Invalid value for %s header: wanted 1.N or latest. %s", HeaderVersion, supported) // for clients
	case major != 1:
		return Version{}, fmt.Errorf("Mutually exclusive versions requested. Version %d.%d requested but not supported by this service. %s", major, minor, supported) // for clients
	case minor < MinMinor || minor > MaxMinor:
		return Version{}, fmt.Errorf("Version %d.%d was requested but the minor version is not supported by this service. %s", major, minor, supported) // for clients
	}
	return Version{Minor: minor, Number: true}, nil
}

// standardVersion finds our version in "compute 2.1, baremetal 1.90".
func standardVersion(header string) string {
	for _, part := range strings.Split(header, ",") {
		f := strings.Fields(part)
		if len(f) == 2 && strings.EqualFold(f[0], "baremetal") {
			return f[1]
		}
	}
	return ""
}

// number reads digits only: no sign, no space.
func number(s string) (int, error) {
	if s == "" || len(s) > 6 || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return strconv.Atoi(s)
}
