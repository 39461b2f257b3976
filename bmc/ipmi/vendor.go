// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"strings"

	"github.com/bougou/go-ipmi/pkg/command/app"
	"github.com/bougou/go-ipmi/pkg/types"
)

// vendors names manufacturers by their IANA enterprise number as ipmitool does, in lower case (Ironic's vendor
// detection stores ipmitool's name so).
var vendors = map[uint32]string{
	2:     "ibm",
	9:     "ciscosystems",
	11:    "hewlett-packard",
	42:    "sun microsystems",
	107:   "bull company",
	116:   "hitachi",
	119:   "nec",
	186:   "toshiba",
	343:   "intel corporation",
	674:   "dell inc",
	2011:  "huawei",
	2623:  "asustek computer inc.",
	4753:  "montavista software, inc.",
	4769:  "ibm corporation",
	5703:  "nvidia corporation",
	5771:  "cisco systems, inc.",
	6653:  "tyan computer corporation",
	7154:  "intelligent platform management interface forum",
	7244:  "quanta",
	10297: "advantech",
	10368: "fujitsu siemens",
	10876: "supermicro",
	11102: "osa technologies inc.",
	11129: "google",
	11183: "mitac international corp.",
	13742: "raritan",
	15000: "kontron",
	15370: "giga-byte technology co., ltd",
	16394: "pigeon point systems",
	19046: "lenovo",
	20569: "inventec enterprise system corp.",
	20974: "american megatrends, inc",
	24339: "adlink technology inc.",
	25506: "h3c",
	33049: "mellanox technologies ltd",
	37945: "inspur(beijing) electronic information industry co.,ltd",
	40092: "wiwynn corporation",
	47196: "hewlett packard enterprise",
	47488: "supermicro",
	48512: "inspur group co.,ltd.",
	49622: "asrock rack incorporation",
	49769: "yadro",
}

// vendor is the manufacturer's name from a Get Device ID answer (without completion code); "" = unknown. The answer is
// read, and makers that ipmitool's short list lacks are named, by go-ipmi (docs/adr/0007).
func vendor(data []byte) string {
	var id app.GetDeviceIDResponse
	if err := id.Unpack(data); err != nil {
		return ""
	}
	maker := id.ManufacturerID & 0xfffff // the rest is reserved (IPMI 20.1)
	if name, ok := vendors[maker]; ok {
		return name
	}
	if name := strings.ToLower(types.OEM(maker).String()); name != "unknown" {
		return name
	}
	return ""
}
