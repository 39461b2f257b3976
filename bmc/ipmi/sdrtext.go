// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"strings"

	"github.com/bougou/go-ipmi/pkg/types"
)

// The words of sensors are ipmitool's, since Ironic's sensor data is ipmitool's output. Types, units and states that
// go-ipmi words alike come from there (docs/adr/0007).

// sensorKind names a sensor type.
func sensorKind(kind byte) string {
	switch name := types.SensorType(kind).String(); {
	case kind == 0:
		return "reserved"
	case name != "unknown":
		return name
	default:
		return "Unknown"
	}
}

// unitText names the unit of a reading (IPMI v2.0, tables 43-1 bytes 21 to 23, and 43-15).
func unitText(units [3]byte) string {
	base, modifier, percent := unitName(units[1]), unitName(units[2]), ""
	if units[0]&1 != 0 {
		if units[1] == 0 && units[0]>>1&3 == 0 {
			return "percent"
		}
		percent = "% "
	}
	switch units[0] >> 1 & 3 {
	case 1:
		return percent + base + "/" + modifier
	case 2:
		return percent + base + "*" + modifier
	default:
		return percent + base
	}
}

func unitName(unit byte) string {
	if name := types.SensorUnitType(unit).String(); name != "" {
		return name
	}
	return "invalid"
}

// stateName is what an offset means for a sensor; "" = nothing that the specification names.
func stateName(kind, reading, offset byte) string {
	e := types.EventReadingType(reading).EventForOffset(types.SensorType(kind), offset)
	if e == nil {
		return ""
	}
	return e.EventName
}

// entityName is the kind of thing that a sensor belongs to (IPMI v2.0, table 43-13).
func entityName(id byte) string {
	if name, ok := entities[id]; ok {
		return name
	}
	return fmt.Sprintf("Unknown (0x%02X)", id)
}

var entities = map[byte]string{
	0x00: "Unspecified", 0x01: "Other", 0x02: "Unknown", 0x03: "Processor", 0x04: "Disk or Disk Bay", 0x05: "Peripheral Bay",
	0x06: "System Management Module", 0x07: "System Board", 0x08: "Memory Module", 0x09: "Processor Module",
	0x0a: "Power Supply", 0x0b: "Add-in Card", 0x0c: "Front Panel Board", 0x0d: "Back Panel Board", 0x0e: "Power System Board",
	0x0f: "Drive Backplane", 0x10: "System Internal Expansion Board", 0x11: "Other System Board", 0x12: "Processor Board",
	0x13: "Power Unit", 0x14: "Power Module", 0x15: "Power Management", 0x16: "Chassis Back Panel Board", 0x17: "System Chassis",
	0x18: "Sub-Chassis", 0x19: "Other Chassis Board", 0x1a: "Disk Drive Bay", 0x1b: "Peripheral Bay", 0x1c: "Device Bay",
	0x1d: "Fan Device", 0x1e: "Cooling Unit", 0x1f: "Cable/Interconnect", 0x20: "Memory Device", 0x21: "System Management Software",
	0x22: "BIOS", 0x23: "Operating System", 0x24: "System Bus", 0x25: "Group", 0x26: "Remote Management Device",
	0x27: "External Environment", 0x28: "Battery", 0x29: "Processing Blade", 0x2a: "Connectivity Switch",
	0x2b: "Processor/Memory Module", 0x2c: "I/O Module", 0x2d: "Processor/IO Module", 0x2e: "Management Controller Firmware",
	0x2f: "IPMI Channel", 0x30: "PCI Bus", 0x31: "PCI Express Bus", 0x32: "SCSI Bus (parallel)", 0x33: "SATA/SAS Bus",
	0x34: "Processor/Front-Side Bus", 0x35: "Real Time Clock(RTC)", 0x36: "Reserved", 0x37: "Air Inlet", 0x38: "Reserved", 0x39: "Reserved", 0x3a: "Reserved",
	0x3b: "Reserved", 0x3c: "Reserved", 0x3d: "Reserved", 0x3e: "Reserved", 0x3f: "Reserved", 0x40: "Air Inlet", 0x41: "Processor",
	0x42: "Baseboard/Main System Board",
	0xa0: "PICMG Front Board", 0xc0: "PICMG Rear Transition Module", 0xc1: "PICMG AdvancedMC Module",
	0xf0: "PICMG Shelf Management Controller", 0xf1: "PICMG Filtration Unit", 0xf2: "PICMG Shelf FRU Information", 0xf3: "PICMG Alarm Panel",
}

// sensorName decodes a name behind its type and length byte (IPMI v2.0, section 43.15); what is missing is left out.
func sensorName(b []byte) string {
	code, n := b[0]>>6, int(b[0]&0x1f)
	b = b[1:]
	var s strings.Builder
	switch code {
	case 1: // BCD plus: two digits a byte
		for _, x := range b[:min(n, len(b))] {
			s.WriteByte(bcdPlus[x>>4])
			s.WriteByte(bcdPlus[x&0xf])
		}
	case 2: // 6-bit ASCII, packed from the low bits up
		for bit := 0; bit+6 <= 8*min(n, len(b)); bit += 6 {
			v := uint(b[bit/8]) >> (bit % 8)
			if bit%8 > 2 {
				v |= uint(b[bit/8+1]) << (8 - bit%8)
			}
			s.WriteByte(byte(v&0x3f) + ' ')
		}
	default: // Latin-1; a few BMCs say Unicode and mean ASCII
		for _, x := range b[:min(n, len(b))] {
			if x == 0 {
				break
			}
			if x >= ' ' && x < 0x7f || x >= 0xa0 {
				s.WriteRune(rune(x))
			}
		}
	}
	return s.String()
}

const bcdPlus = "0123456789 -.:,_"
