// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"ferrite/client"
	"ferrite/internal/hostrange"
)

// nodeFields are the columns of a list, and those of --long, by wire name.
var (
	nodeFields = []string{"uuid", "name", "instance_uuid", "power_state", "provision_state", "maintenance"}
	longFields = append(slices.Clone(nodeFields), "driver", "target_power_state", "target_provision_state", "reservation", "fault", "last_error")
	// stateFields are what --fold groups by and --watch looks at.
	stateFields = []string{"power_state", "provision_state", "maintenance"}
)

// heads are the heads of columns as the baremetal CLI has them; others are made of the field's name.
var heads = map[string]string{"uuid": "UUID", "instance_uuid": "Instance UUID", "provision_state": "Provisioning State"}

func head(field string) string {
	if h := heads[field]; h != "" {
		return h
	}
	words := strings.Split(field, "_")
	for i, w := range words {
		if w == "uuid" {
			words[i] = "UUID"
		} else if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

// listing is what "node list" was asked for.
type listing struct {
	api         *client.Client
	flags       *apiFlags
	filter      map[string]string // as the service takes them
	power       string            // ours: the service has no such filter
	names       []string          // names or UUIDs that were asked for, in order; nil = all
	found       map[string]bool   // of each of them: whether the last look found it
	sort        string            // field, or field:desc; "" = as the service likes
	fields      []string
	output      string
	long, fold  bool
	watch       bool
	every       time.Duration
	provision   string
	driver      string
	maintenance string
	given       string // --fields
}

func newNodeList(a *apiFlags) *cobra.Command {
	l := &listing{flags: a}
	c := &cobra.Command{
		Use: "list [TARGETS...]", Short: "List nodes",
		Long: `List nodes, all or those that are named. Pages are fetched and printed as they come. Names that no node has are told at
the end, and the exit code is 1. --fields also knows power_confirmed_at: when the BMC last said what the record has, None while its
conductor does not know; and sensor_health (ok, warning, critical), sensor_health_at and sensor_health_sensors: what the machine's
sensors said when they were read last, None when they were not.

--fold prints one line for each power state, provision state and maintenance, with the nodes as host ranges.
--watch shows the list anew again and again; off a terminal it prints what there is and then one line a change.`,
		Example: "  ferrite node list --fold\n" +
			"  ferrite node list --provision-state active --power-state off\n" +
			"  ferrite node list 'r07n[1-9]' --fields name,power_state,last_error\n" +
			"  ferrite node list --fields name,power_state,power_confirmed_at\n" +
			"  ferrite node list --fields name,sensor_health,sensor_health_sensors\n" +
			"  ferrite node list --long -o json | jq .[].driver_info\n" +
			"  ferrite node list --fold --watch",
		RunE: func(c *cobra.Command, args []string) error { return l.run(c, args) },
	}
	f := c.Flags()
	f.StringVar(&l.provision, "provision-state", "", "only nodes in this provision state")
	f.StringVar(&l.power, "power-state", "", "only nodes in this power state: on, off, unknown")
	f.StringVar(&l.driver, "driver", "", "only nodes of this driver")
	f.StringVar(&l.maintenance, "maintenance", "", "only nodes in maintenance (true), or not (false)")
	f.Lookup("maintenance").NoOptDefVal = "true"
	f.StringVar(&l.given, "fields", "", "columns by wire name, with commas between them")
	f.BoolVar(&l.long, "long", false, "more columns; with -o json or yaml all fields")
	f.StringVar(&l.sort, "sort", "", "field to sort by, with :desc the other way round")
	f.BoolVar(&l.fold, "fold", false, "group by state, with host ranges")
	f.StringVarP(&l.output, "output", "o", "table", "table, json or yaml")
	f.BoolVar(&l.watch, "watch", false, "go on showing it until Ctrl-C")
	f.DurationVar(&l.every, "interval", 2*time.Second, "with --watch: how often to look")
	return c
}

func (l *listing) run(c *cobra.Command, args []string) (err error) {
	if err := l.check(args); err != nil {
		return err
	}
	if l.api, err = l.flags.client(client.WithExtensions()); err != nil {
		return err
	}
	if l.watch {
		return l.follow(c)
	}
	out := bufio.NewWriter(c.OutOrStdout())
	err = explain(l.print(c.Context(), out), l.flags)
	if err == nil {
		err = l.missing()
	}
	return errors.Join(err, out.Flush())
}

// powerStates are what --power-state takes.
var powerStates = map[string]string{"on": "power on", "off": "power off", "unknown": "unknown", "power on": "power on", "power off": "power off"}

func (l *listing) check(args []string) error {
	if err := oneOf("output", l.output, "table", "json", "yaml"); err != nil {
		return err
	}
	if l.maintenance != "" {
		if err := oneOf("maintenance", l.maintenance, "true", "false"); err != nil {
			return err
		}
	}
	if l.power != "" {
		state, ok := powerStates[l.power]
		if !ok {
			return oneOf("power-state", l.power, "on", "off", "unknown")
		}
		l.power = state
	}
	if _, way, _ := strings.Cut(l.sort, ":"); way != "" && way != "asc" && way != "desc" {
		return usageError{fmt.Errorf("--sort is %q: wanted a field, FIELD:asc or FIELD:desc", l.sort)}
	}
	switch {
	case l.watch && l.output != "table":
		return errWatchForm
	case l.fold && (l.given != "" || l.long):
		return usageError{errors.New("--fold goes neither with --fields nor with --long")}
	}
	if err := checkInterval(l.every); err != nil {
		return err
	}
	l.filter = map[string]string{}
	for key, value := range map[string]string{"provision_state": l.provision, "driver": l.driver, "maintenance": l.maintenance} {
		if value != "" {
			l.filter[key] = value
		}
	}
	l.fields = nodeFields
	switch {
	case l.given != "":
		l.fields = strings.Split(strings.ReplaceAll(l.given, " ", ""), ",")
	case l.long:
		l.fields = longFields
	}
	if len(args) > 0 {
		names, err := targets(args)
		if err != nil {
			return err
		}
		l.names = names
	}
	return nil
}

// item is a node as it came, with its fields.
type item struct {
	raw    json.RawMessage
	fields map[string]any
}

func (i item) text(field string) string {
	switch v := i.fields[field].(type) {
	case nil:
		return "None"
	case string:
		return plain(v)
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	default:
		b, _ := json.Marshal(v)
		return plain(string(b))
	}
}

// name is what a node is called: its name or else its UUID.
func (i item) name() string {
	s, _ := i.fields["name"].(string)
	id, _ := i.fields["uuid"].(string)
	return cmp.Or(s, id)
}

// power is the power state in one word.
func (i item) power() string { return cmp.Or(word(i.fields, "power_state"), "unknown") }

func (i item) state() string {
	s := strings.TrimPrefix(i.power(), "power ") + ", " + word(i.fields, "provision_state")
	if i.fields["maintenance"] == true {
		s += ", maintenance"
	}
	return s
}

// each calls fn for every node that is wanted, page by page. show are the fields that fn needs.
func (l *listing) each(ctx context.Context, show []string, fn func(item) error) error {
	q := client.Query{Filter: l.filter}
	q.Sort, q.Desc = l.order()
	if l.names != nil {
		q.Filter = nil // whether a node is there has nothing to do with its state
		l.found = make(map[string]bool, len(l.names))
		for _, n := range l.names {
			l.found[n] = false
		}
	}
	if l.long && l.output != "table" {
		q.Detail = true
	} else {
		q.Fields = slices.Compact(slices.Sorted(slices.Values(slices.Concat(show, []string{"uuid", "name"}, stateFields, slices.Collect(maps.Keys(l.filter))))))
	}
	for raw, err := range l.api.RawNodes(ctx, q) {
		if err != nil {
			return err
		}
		i := item{raw: *raw}
		if err := json.Unmarshal(*raw, &i.fields); err != nil {
			return fmt.Errorf("wanted a node, found %q: %w", *raw, err)
		}
		if !l.asked(i) || l.power != "" && i.power() != l.power {
			continue
		}
		if !q.Detail {
			maps.DeleteFunc(i.fields, func(k string, _ any) bool { return l.output != "table" && !slices.Contains(show, k) })
		}
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

// asked reports whether a node is among those that were named, if any were, and passes their filters.
func (l *listing) asked(i item) bool {
	if l.names == nil {
		return true
	}
	named := false
	for _, ident := range []string{word(i.fields, "name"), word(i.fields, "uuid")} {
		if _, ok := l.found[ident]; ok {
			l.found[ident], named = true, true
		}
	}
	for key, want := range l.filter {
		if named = named && fmt.Sprint(i.fields[key]) == want; !named {
			break
		}
	}
	return named
}

// missing is the error about names that the last look did not find, nil = it found all.
func (l *listing) missing() error {
	gone := slices.DeleteFunc(slices.Clone(l.names), func(n string) bool { return l.found[n] })
	if len(gone) == 0 {
		return nil
	}
	return fmt.Errorf("no node has such a name or UUID, %d of %d: %s", len(gone), len(l.names), plain(hostrange.Fold(gone)))
}

// order is what the service shall sort by.
func (l *listing) order() (field string, desc bool) {
	field, way, _ := strings.Cut(l.sort, ":")
	return field, way == "desc"
}

func (l *listing) print(ctx context.Context, out io.Writer) error {
	switch {
	case l.fold:
		return l.folded(ctx, out)
	case l.output == "table":
		return l.table(ctx, out)
	}
	w := newSeries(out, l.output)
	if err := l.each(ctx, l.fields, func(i item) error { return w.add(i.fields) }); err != nil {
		return err
	}
	return w.end()
}

// tableRows is how many rows are laid out together; a wider cell further down widens the columns from there on.
const tableRows = 1000

// table prints rows in blocks, so that it needs no more memory for many nodes than for some.
func (l *listing) table(ctx context.Context, out io.Writer) error {
	widths := make([]int, len(l.fields))
	for k, f := range l.fields {
		widths[k] = len(head(f))
	}
	var rows []table.Row
	count, first := 0, true
	flush := func() error {
		w := plainTable()
		var cols []table.ColumnConfig
		for k := range widths {
			cols = append(cols, table.ColumnConfig{Number: k + 1, WidthMin: widths[k]})
		}
		w.SetColumnConfigs(cols)
		if first {
			h := table.Row{}
			for _, f := range l.fields {
				h = append(h, head(f))
			}
			w.AppendHeader(h)
		}
		first = false
		w.AppendRows(rows)
		rows = rows[:0]
		_, err := fmt.Fprintln(out, w.Render())
		return err
	}
	err := l.each(ctx, l.fields, func(i item) error {
		row := table.Row{}
		for k, f := range l.fields {
			cell := i.text(f)
			widths[k] = max(widths[k], text.StringWidthWithoutEscSequences(cell))
			row = append(row, cell)
		}
		rows = append(rows, row)
		if count++; len(rows) == tableRows {
			return flush()
		}
		return nil
	})
	if err == nil && (len(rows) > 0 || first) {
		err = flush()
	}
	return err
}

// plainTable is a table without lines.
func plainTable() table.Writer {
	w := table.NewWriter()
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Format.Header = text.FormatDefault
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	w.SetStyle(s)
	w.SuppressTrailingSpaces()
	return w
}

// groups are the names of the nodes by state.
func (l *listing) groups(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	err := l.each(ctx, append([]string{"uuid", "name"}, stateFields...), func(i item) error {
		out[i.state()] = append(out[i.state()], i.name())
		return nil
	})
	return out, err
}

func (l *listing) folded(ctx context.Context, out io.Writer) error {
	g, err := l.groups(ctx)
	if err != nil {
		return err
	}
	if l.output != "table" {
		w := newSeries(out, l.output)
		for _, state := range slices.Sorted(maps.Keys(g)) {
			if err := w.add(map[string]any{"state": state, "count": len(g[state]), "nodes": hostrange.Fold(g[state])}); err != nil {
				return err
			}
		}
		return w.end()
	}
	w := plainTable()
	w.AppendHeader(table.Row{"State", "Count", "Nodes"})
	for _, state := range slices.Sorted(maps.Keys(g)) {
		w.AppendRow(table.Row{plain(state), len(g[state]), plain(hostrange.Fold(g[state]))})
	}
	_, err = fmt.Fprintln(out, w.Render())
	return err
}

// series writes a list of objects one by one.
type series struct {
	w    io.Writer
	form string
	n    int
}

func newSeries(w io.Writer, form string) *series { return &series{w: w, form: form} }

func (s *series) add(v map[string]any) (err error) {
	s.n++
	if s.form == "yaml" {
		b, err := yaml.Marshal([]any{v})
		if err == nil {
			_, err = s.w.Write(b)
		}
		return err
	}
	b, err := json.MarshalIndent(v, "  ", "  ")
	if err == nil {
		_, err = fmt.Fprintf(s.w, "%s  %s", map[bool]string{true: "[\n", false: ",\n"}[s.n == 1], b)
	}
	return err
}

func (s *series) end() (err error) {
	switch {
	case s.n == 0:
		_, err = fmt.Fprintln(s.w, "[]")
	case s.form == "json":
		_, err = fmt.Fprint(s.w, "\n]\n")
	}
	return err
}
