// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"ferrite/client"
	"ferrite/internal/hostrange"
)

func newNodeSensors(a *apiFlags) *cobra.Command {
	m := &many{}
	var kind string
	var alarms bool
	c := &cobra.Command{
		Use: "sensors TARGETS...", Short: "Read temperatures, fans, power supplies ... of nodes now",
		Long: `Ask the BMCs of nodes for all their sensors now. It takes a second or two for each node, and gives way to the power sweep.

A value has a unit; a sensor without one tells what is the case. json and yaml have the thresholds too.`,
		Example: "  ferrite node sensors r07n09\n" +
			"  ferrite node sensors 'r07n[01-20]' --type temperature --alarms\n" +
			"  ferrite node sensors r07n09 -o json | jq '.[] | select(.status != \"ok\")'",
		RunE: func(c *cobra.Command, args []string) error {
			names, api, err := m.whom(args, a)
			if err != nil {
				return err
			}
			return m.look(c, "sensors", names, []string{"Sensor", "Type", "Value", "Status"}, func(ctx context.Context, name string) ([]seen, error) {
				all, err := api.Sensors(ctx, name)
				var out []seen
				for _, s := range all {
					if kind != "" && !strings.HasPrefix(strings.ToLower(s.Type), strings.ToLower(kind)) || alarms && !alarming(s) {
						continue
					}
					out = append(out, seen{s, []string{s.ID, s.Type, sensorValue(s), said(s.Status)}})
				}
				return out, explain(err, a)
			})
		},
	}
	c.Flags().StringVar(&kind, "type", "", "only sensors whose type begins so, like temperature, fan, voltage, \"power supply\"")
	c.Flags().BoolVar(&alarms, "alarms", false, "only sensors beyond a threshold")
	m.lookFlags(c)
	return c
}

// alarming reports whether a sensor is beyond a threshold of its own.
func alarming(s client.Sensor) bool { return s.Readable && s.Status != nil && *s.Status != "ok" }

// sensorValue is a number with its unit, or what is the case.
func sensorValue(s client.Sensor) string {
	switch {
	case s.Value != nil:
		return fmt.Sprintf("%.10g %s", *s.Value, said(s.Unit))
	case !s.Readable:
		return "no reading"
	default:
		return strings.Join(s.States, ", ")
	}
}

func said(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func newNodeEvents(a *apiFlags) *cobra.Command {
	m := &many{}
	limit, erase := 0, false
	c := &cobra.Command{
		Use: "events TARGETS...", Aliases: []string{"sel"}, Short: "Show or empty the event logs (SEL) of nodes",
		Long: `Show what the BMCs of nodes have logged themselves (IPMI's System Event Log), or empty it. It is not the node's history, which
Ferrite keeps: that is "baremetal node history list".

--clear erases; what is logged while it does makes it begin anew. It is never sent twice: after a lost answer it fails and
says so.`,
		Example: "  ferrite node events r07n09 --limit 20\n" +
			"  ferrite node sel 'r07n[01-20]' -o json\n" +
			"  ferrite node events 'r07n[01-20]' --clear",
		RunE: func(c *cobra.Command, args []string) error {
			names, api, err := m.whom(args, a)
			switch {
			case err != nil:
				return err
			case erase && limit != 0:
				return usageError{errors.New("--limit does not go with --clear, which erases all events")}
			case limit < 0:
				return usageError{fmt.Errorf("--limit is %d: wanted 1 or more", limit)}
			case erase:
				return m.run(c, "clear events", names, func(ctx context.Context, name string) (string, error) {
					return "events cleared", explain(api.ClearEvents(ctx, name), a)
				})
			}
			return m.look(c, "events", names, []string{"ID", "Time", "Sensor", "Event", "Data"}, func(ctx context.Context, name string) ([]seen, error) {
				all, err := api.Events(ctx, name, limit)
				var out []seen
				for _, e := range all {
					out = append(out, seen{e, []string{fmt.Sprint(e.ID), eventTime(e), said(e.Sensor), eventText(e), e.Data}})
				}
				return out, explain(err, a)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "only the newest so many of each node; 0 = up to 1000")
	c.Flags().BoolVar(&erase, "clear", false, "erase them")
	c.Flags().BoolVar(&m.yes, "yes", false, fmt.Sprintf("with --clear: do not ask before more than %d nodes are changed", manyNodes))
	m.lookFlags(c)
	return c
}

func eventTime(e client.Event) string {
	if e.Time == nil {
		return "unknown"
	}
	return e.Time.UTC().Format(time.RFC3339)
}

// eventText is what happened, as far as the specification names it.
func eventText(e client.Event) string {
	if e.Record != 2 {
		return fmt.Sprintf("the maker's own, type 0x%02x", e.Record)
	}
	what := cmp.Or(said(e.Text), said(e.Type), "unknown")
	if !e.Asserted {
		what += " (over)"
	}
	return what
}

// seen is one thing that was read of a node: for programs, and as cells of a table.
type seen struct {
	object any
	cells  []string
}

// lookFlags are those of commands that ask BMCs.
func (m *many) lookFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&m.output, "output", "o", "table", "table, json or yaml")
	f.DurationVar(&m.timeout, "timeout", 2*time.Minute, "longest time for each node, 0 = no limit")
	f.IntVar(&m.fanout, "fanout", 16, "how many nodes at once")
}

// whom expands the targets and opens the API.
func (m *many) whom(args []string, a *apiFlags) ([]string, *client.Client, error) {
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	names, err := targets(args)
	if err != nil {
		return nil, nil, err
	}
	api, err := a.client()
	return names, api, err
}

// look reads of every node, and prints what was seen in the order in which nodes were named. Nodes that fail are told on
// the error output.
func (m *many) look(c *cobra.Command, what string, names, columns []string, read func(ctx context.Context, name string) ([]seen, error)) error {
	step, finish := nodeProgress(c, what, len(names))
	all := make([][]seen, len(names))
	errs := make([]error, len(names))
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range min(m.fanout, len(names)) {
		wg.Go(func() {
			for i := range jobs {
				_, errs[i] = m.one(c.Context(), names[i], func(ctx context.Context, name string) (_ string, err error) {
					all[i], err = read(ctx, name)
					return "", err
				})
				step()
			}
		})
	}
	for i := range names {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	finish()
	if len(names) > 1 || errs[0] == nil {
		if err := m.show(c, names, columns, all); err != nil {
			return err
		}
	}
	failed, reasons := 0, map[string][]string{}
	for i, err := range errs {
		if err != nil {
			failed++
			reason := nodeReason(err, names[i])
			reasons[reason] = append(reasons[reason], names[i])
		}
	}
	if failed == 0 {
		return nil
	}
	if len(names) == 1 {
		return fmt.Errorf("%s of %s: %w", what, plain(names[0]), errs[0])
	}
	told := make([]string, 0, len(reasons))
	for reason, who := range reasons {
		told = append(told, fmt.Sprintf("%s: %s", hostrange.Fold(who), reason))
	}
	slices.Sort(told)
	return fmt.Errorf("%s failed for %d of %d nodes: %s", what, failed, len(names), strings.Join(told, "; "))
}

// show prints rows; a table of one node does not repeat its name.
func (m *many) show(c *cobra.Command, names, columns []string, all [][]seen) error {
	if m.output != "table" {
		w := newSeries(c.OutOrStdout(), m.output)
		for i, rows := range all {
			for _, r := range rows {
				o := map[string]any{}
				b, err := json.Marshal(r.object)
				if err == nil {
					err = json.Unmarshal(b, &o)
				}
				if err != nil {
					return err
				}
				o["node"] = names[i]
				if err := w.add(o); err != nil {
					return err
				}
			}
		}
		return w.end()
	}
	w := plainTable()
	h := table.Row{}
	if len(names) > 1 {
		h = append(h, "Node")
	}
	for _, s := range columns {
		h = append(h, s)
	}
	w.AppendHeader(h)
	for i, rows := range all {
		for _, r := range rows {
			row := table.Row{}
			if len(names) > 1 {
				row = append(row, plain(names[i]))
			}
			for _, s := range r.cells {
				row = append(row, plain(s))
			}
			w.AppendRow(row)
		}
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), w.Render())
	return err
}
