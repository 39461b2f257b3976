// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import "time"

// Driver is a hardware type as the API shows it.
type Driver struct {
	Name     string
	Hosts    []string // living conductors that serve it
	Enabled  map[string][]string
	Defaults map[string]string
}

// Conductor is a member of the cluster as the API shows it.
type Conductor struct {
	Hostname  string
	Group     string
	Alive     bool
	Drivers   []string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Drivers is the table of a driver's fields. The short ones are those of the plain list.
var Drivers = newTable("driver", nil, append([]Field[Driver]{
	plain("name", 0, func(x *Driver) *string { return &x.Name }).short(),
	computed("hosts", "array of string", func(b []byte, _ *View, x *Driver) []byte { return AppendStrings(b, x.Hosts) }).short(),
	links("links", "drivers", "", func(x *Driver) string { return x.Name }).short(),
	wholeLinks(links("properties", "drivers", "/properties", func(x *Driver) string { return x.Name })).since(14).short(),
	computed("type", "string", func(b []byte, _ *View, _ *Driver) []byte { return append(b, `"dynamic"`...) }).since(30).short(),
}, driverInterfaces()...)...)

// wholeLinks makes links that may be asked for like any field.
func wholeLinks[T any](f Field[T]) Field[T] { f.Links = false; return f }

// driverInterfaces are default_X_interface and enabled_X_interfaces of every kind.
func driverInterfaces() []Field[Driver] {
	since := map[string]int{"bios": 40, "firmware": 86, "rescue": 38, "storage": 33}
	var out []Field[Driver]
	for _, f := range Nodes.Fields {
		kind, ok := interfaceKind(f.Name)
		if !ok {
			continue
		}
		minor := max(since[kind], 30)
		out = append(out,
			computed("default_"+f.Name, "string or null", func(b []byte, _ *View, x *Driver) []byte { return appendNullable(b, x.Defaults[kind]) }).since(minor),
			computed("enabled_"+f.Name+"s", "array of string", func(b []byte, _ *View, x *Driver) []byte { return AppendStrings(b, x.Enabled[kind]) }).since(minor),
		)
	}
	return out
}

// interfaceKind tells the kind of an interface field: "power_interface" is "power".
func interfaceKind(field string) (string, bool) {
	const tail = "_interface"
	if len(field) <= len(tail) || field[len(field)-len(tail):] != tail {
		return "", false
	}
	return field[:len(field)-len(tail)], true
}

// Conductors is the table of a conductor's fields; there is no uuid.
var Conductors = newTable("conductor", nil,
	moment("created_at", func(x *Conductor) *time.Time { return &x.CreatedAt }).since(49),
	moment("updated_at", func(x *Conductor) *time.Time { return &x.UpdatedAt }).since(49),
	plain("hostname", 0, func(x *Conductor) *string { return &x.Hostname }).since(49).short(),
	plain("conductor_group", 0, func(x *Conductor) *string { return &x.Group }).since(49).short(),
	computed("drivers", "array of string", func(b []byte, _ *View, x *Conductor) []byte { return AppendStrings(b, x.Drivers) }).since(49),
	links("links", "conductors", "", func(x *Conductor) string { return x.Hostname }).since(49).short(),
	boolean("alive", false, func(x *Conductor) *bool { return &x.Alive }).since(49).short(),
)
