// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// drivers are the enabled hardware types in order of their names, with the living conductors that serve them.
func (r *request) drivers() []wire.Driver {
	h, conductors := r.s.cfg.Hardware, r.s.cfg.Members.Conductors()
	enabled, defaults := h.Enabled(), h.Defaults()
	var out []wire.Driver
	for _, t := range h.Types() {
		d := wire.Driver{Name: t.Name, Hosts: []string{}, Enabled: map[string][]string{}, Defaults: map[string]string{}}
		for _, kind := range node.InterfaceKinds {
			d.Enabled[kind], d.Defaults[kind] = t.Supported(kind, enabled), t.Default(kind, enabled, defaults)
		}
		for _, c := range conductors {
			if c.Alive && slices.Contains(c.Drivers, t.Name) {
				d.Hosts = append(d.Hosts, c.Hostname)
			}
		}
		slices.Sort(d.Hosts)
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b wire.Driver) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r *request) driver(name string) (*wire.Driver, error) {
	for _, d := range r.drivers() {
		if d.Name == name {
			return &d, nil
		}
	}
	return nil, refuse(node.NotFound, "Could not find the following driver(s) or hardware type(s): %s.", name)
}

func listDrivers(r *request) error {
	if err := r.allow("type", "detail", "fields"); err != nil {
		return err
	}
	kind, typed := r.arg("type")
	text, detailed := r.arg("detail")
	names, err := r.fields(77)
	switch {
	case err != nil:
		return err
	case (typed || detailed) && r.minor() < 30:
		return tooNew("type and detail", 30)
	case typed && kind != "classic" && kind != "dynamic":
		return invalid("Invalid driver type %q: wanted classic or dynamic.", kind)
	}
	fields := wire.Drivers.Short(r.minor())
	if detailed {
		whole, err := wire.ParseBool("detail", text)
		switch {
		case err != nil:
			return err
		case whole && names != nil:
			return invalid("Can not specify ?detail=True and fields in the same request.")
		case whole:
			fields = wire.Drivers.Detail(r.minor())
		}
	}
	if names != nil {
		if fields, err = wire.Drivers.Select(names, r.minor()); err != nil {
			return err
		}
	}
	b := append(r.buffer(), `{"drivers":[`...)
	if kind != "classic" {
		for i, d := range r.drivers() {
			if i > 0 {
				b = append(b, ',')
			}
			b = wire.Drivers.Append(b, &r.view, &d, fields)
		}
	}
	r.json(http.StatusOK, append(b, `]}`...))
	return nil
}

func showDriver(r *request) error {
	if err := r.allow("fields"); err != nil {
		return err
	}
	names, err := r.fields(77)
	if err != nil {
		return err
	}
	d, err := r.driver(r.param(0))
	if err != nil {
		return err
	}
	fields := wire.Drivers.Detail(r.minor())
	if names != nil {
		if fields, err = wire.Drivers.Select(names, r.minor()); err != nil {
			return err
		}
	}
	r.json(http.StatusOK, wire.Drivers.Append(r.buffer(), &r.view, d, fields))
	return nil
}

// showDriverProperties is drivers/{d}/properties and drivers/properties?driver_name=.
func showDriverProperties(r *request) error {
	if err := r.allow("driver_name"); err != nil {
		return err
	}
	name, named := r.arg("driver_name")
	if len(r.params) > 0 {
		name, named = r.param(0), true
	}
	if !named {
		return invalid("Missing mandatory parameter: driver_name")
	}
	props, ok := r.s.cfg.Hardware.Properties(name)
	if !ok {
		return refuse(node.NotFound, "The driver '%s' is unknown.", name)
	}
	r.json(http.StatusOK, wire.AppendValue(r.buffer(), props))
	return nil
}

// showDiskProperties explains logical disks for a driver whose default raid interface is one.
func showDiskProperties(r *request) error {
	d, err := r.driver(r.param(0))
	if err != nil {
		return err
	}
	if i := d.Defaults["raid"]; i == "no-raid" || i == "" {
		return refuse(node.NotFound, "Driver %s does not support raid (disabled or not implemented).", d.Name)
	}
	r.json(http.StatusOK, wire.AppendValue(r.buffer(), wire.DiskProperties()))
	return nil
}

func listDriverMethods(r *request) error {
	if _, err := r.driver(r.param(0)); err != nil {
		return err
	}
	r.json(http.StatusOK, append(r.buffer(), `{}`...))
	return nil
}

// conductors is the listing of the cluster's members, by name.
func (r *request) conductors() listing[wire.Conductor] {
	all := slices.Clone(r.s.cfg.Members.Conductors())
	byName := func(a, b *wire.Conductor) int { return strings.Compare(a.Hostname, b.Hostname) }
	slices.SortFunc(all, func(a, b wire.Conductor) int { return byName(&a, &b) })
	return listing[wire.Conductor]{
		table: wire.Conductors, envelope: "conductors", since: 49, older: byName,
		id: func(c *wire.Conductor) string { return c.Hostname },
		walk: func(after *wire.Conductor, fn func(*wire.Conductor) bool) {
			for i := range all {
				if after != nil && byName(&all[i], after) <= 0 {
					continue
				}
				if !fn(&all[i]) {
					return
				}
			}
		},
		find: func(name string) (*wire.Conductor, error) {
			for i := range all {
				if all[i].Hostname == name {
					return &all[i], nil
				}
			}
			return nil, refuse(node.NotFound, "Conductor %s could not be found.", name)
		},
	}
}

func listConductors(r *request) error {
	if err := r.allow(append(slices.Clone(pageArgs), "fields", "detail")...); err != nil {
		return err
	}
	l := r.conductors()
	return l.answer(r)
}

func showConductor(r *request) error {
	if err := r.allow("fields"); err != nil {
		return err
	}
	names, err := r.fields(0)
	if err != nil {
		return err
	}
	l := r.conductors()
	c, err := l.find(r.param(0))
	if err != nil {
		return err
	}
	fields := wire.Conductors.Detail(r.minor())
	if names != nil {
		if fields, err = wire.Conductors.Select(names, r.minor()); err != nil {
			return err
		}
	}
	r.json(http.StatusOK, wire.Conductors.Append(r.buffer(), &r.view, c, fields))
	return nil
}

// listShards counts nodes by shard, the largest first; nodes without one are in "None".
func listShards(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	counts := map[string]int{}
	r.s.cfg.Reader.Nodes(nil, func(n *node.Node) bool {
		counts[n.Shard]++
		return true
	})
	shards := make([]string, 0, len(counts))
	for name := range counts {
		shards = append(shards, name)
	}
	slices.SortFunc(shards, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	b := append(r.buffer(), `{"shards":[`...)
	for i, name := range shards {
		if i > 0 {
			b = append(b, ',')
		}
		shown := name
		if name == "" {
			shown = "None"
		}
		b = wire.AppendString(append(b, `{"name":`...), shown)
		b = wire.AppendValue(append(b, `,"count":`...), counts[name])
		b = append(b, '}')
	}
	r.json(http.StatusOK, append(b, `]}`...))
	return nil
}
