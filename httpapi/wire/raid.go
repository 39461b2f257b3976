// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"slices"
	"strings"
)

// diskField is one property of a logical disk: what it is good for and how its value is checked.
type diskField struct {
	name, help string
	needed     bool
	fits       func(v any) bool
	wanted     string
}

func isText(v any) bool { _, ok := v.(string); return ok }
func isBool(v any) bool { _, ok := v.(bool); return ok }

func positive(v any) bool {
	f, ok := v.(float64)
	return ok && f > 0 && f == math.Trunc(f)
}

func oneOf(words ...string) func(any) bool {
	return func(v any) bool { s, ok := v.(string); return ok && slices.Contains(words, s) }
}

var levels = []string{"JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0"}

// diskFields are the properties of a logical disk (Ironic's generic RAID schema).
var diskFields = []diskField{
	{"raid_level", "RAID level of the disk: one of " + strings.Join(levels, ", ") + ". Required.", true, oneOf(levels...), "one of " + strings.Join(levels, ", ")},
	{"size_gb", "Size in GiB as an integer, or MAX for all that is left. Required.", true, func(v any) bool { return v == "MAX" || positive(v) }, "an integer above 0, or MAX"},
	{"is_root_volume", "True if the operating system goes here; at most one disk may say so. Optional.", false, isBool, "true or false"},
	{"share_physical_disks", "True if the disk may share its physical disks with other logical disks. Optional.", false, isBool, "true or false"},
	{"volume_name", "Name of the volume; the controller makes one up when it is missing. Optional.", false, isText, "a string"},
	{"disk_type", "Kind of physical disk: hdd or ssd. Optional.", false, oneOf("hdd", "ssd"), "hdd or ssd"},
	{"interface_type", "Interface of the physical disks: sata, scsi or sas. Optional.", false, oneOf("sata", "scsi", "sas"), "sata, scsi or sas"},
	{"number_of_physical_disks", "How many physical disks to use; by default the level's minimum. Optional.", false, positive, "an integer above 0"},
	{"controller", "Name of the RAID controller. Optional.", false, isText, "a string"},
	{"physical_disks", "Names of the physical disks to use, in the controller's spelling. Optional.", false, diskList, "a list of strings or of objects"},
}

func diskList(v any) bool {
	l, ok := v.([]any)
	for _, d := range l {
		_, isMap := d.(map[string]any)
		ok = ok && (isText(d) || isMap)
	}
	return ok
}

// DiskProperties explain the properties of a logical disk (GET drivers/{d}/raid/logical_disk_properties).
func DiskProperties() map[string]string {
	out := map[string]string{}
	for _, f := range diskFields {
		out[f.name] = f.help
	}
	return out
}

// CheckRAID checks the document of PUT states/raid; an empty one takes the wish back.
func CheckRAID(doc map[string]any) error {
	if len(doc) == 0 {
		return nil
	}
	for k := range doc {
		if k != "logical_disks" {
			return invalid("RAID config validation error: Additional properties are not allowed ('%s' was unexpected)", k)
		}
	}
	disks, ok := doc["logical_disks"].([]any)
	if !ok {
		return invalid("RAID config validation error: logical_disks is %s, wanted a list", kindOf(doc["logical_disks"]))
	}
	if len(disks) == 0 {
		return invalid("RAID config validation error: logical_disks is empty, wanted at least one disk ({} takes the configuration back)")
	}
	roots := 0
	for i, v := range disks {
		d, ok := v.(map[string]any)
		if !ok {
			return invalid("RAID config validation error: logical_disks/%d is %s, wanted an object", i, kindOf(v))
		}
		if err := checkDisk(i, d); err != nil {
			return err
		}
		if d["is_root_volume"] == true {
			roots++
		}
	}
	if roots > 1 {
		return invalid("Raid config cannot have more than one root volume. %d root volumes were specified", roots)
	}
	return nil
}

func checkDisk(i int, d map[string]any) error {
	for _, f := range diskFields {
		v, given := d[f.name]
		switch {
		case !given && f.needed:
			return invalid("RAID config validation error: logical_disks/%d: '%s' is a required property", i, f.name)
		case given && !f.fits(v):
			return invalid("RAID config validation error: logical_disks/%d/%s is %v, wanted %s", i, f.name, v, f.wanted)
		}
	}
	for k := range d {
		if !slices.ContainsFunc(diskFields, func(f diskField) bool { return f.name == k }) {
			return invalid("RAID config validation error: logical_disks/%d: Additional properties are not allowed ('%s' was unexpected)", i, k)
		}
	}
	return nil
}
