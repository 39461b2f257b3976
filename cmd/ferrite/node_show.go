// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"ferrite/client"
)

func newNodeShow(a *apiFlags) *cobra.Command {
	var output string
	var all, watch bool
	var every time.Duration
	c := &cobra.Command{
		Use: "show NODE", Short: "Show a node", Args: oneNode,
		Long: `Show a node's fields. What is empty is left out of the table unless --all is said; json and yaml have everything.

--watch shows it anew again and again; off a terminal it prints what there is and then each field that changes.`,
		Example: "  ferrite node show r07n09\n" +
			"  ferrite node show r07n09 -o json | jq .last_error\n" +
			"  ferrite node show r07n09 --watch",
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return err
			}
			if watch && output != "table" {
				return errWatchForm
			}
			if err := checkInterval(every); err != nil {
				return err
			}
			api, err := a.client(client.WithExtensions())
			if err != nil {
				return err
			}
			if watch {
				return a.watchNode(c, api, args[0], every, all)
			}
			raw, err := api.RawNode(c.Context(), args[0])
			if err != nil {
				return explain(err, a)
			}
			return printNode(c.OutOrStdout(), raw, output, all)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	c.Flags().BoolVar(&all, "all", false, "show empty fields too")
	c.Flags().BoolVar(&watch, "watch", false, "go on showing it until Ctrl-C")
	c.Flags().DurationVar(&every, "interval", time.Second, "with --watch: how often to look")
	return c
}

func printNode(out io.Writer, raw json.RawMessage, output string, all bool) error {
	i := item{raw: raw}
	if err := json.Unmarshal(raw, &i.fields); err != nil {
		return fmt.Errorf("wanted a node from the API, found %q: %w", raw, err)
	}
	switch output {
	case "json":
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, b.String())
		return err
	case "yaml":
		b, err := yaml.Marshal(i.fields)
		if err == nil {
			_, err = out.Write(b)
		}
		return err
	}
	w := plainTable()
	w.AppendHeader(table.Row{"Field", "Value"})
	first := append(slices.Clone(longFields), "created_at", "updated_at")
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(i.fields)), func(f string) bool { return f == "links" || slices.Contains(first, f) })
	for _, f := range append(first, rest...) {
		if !all && hollow(i.fields[f]) {
			continue
		}
		w.AppendRow(table.Row{f, i.text(f)})
	}
	_, err := fmt.Fprintln(out, w.Render())
	return err
}

// hollow reports what says nothing: null, "", {}, []. Lists of links to further pages say nothing either.
func hollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); !ok || m["href"] == nil {
				return false
			}
		}
		return true
	}
	return false
}

// changes prints nodes that are in another state than known says, and those that came and went.
func (l *listing) changes(ctx context.Context, out io.Writer, known map[string]string, first bool) error {
	if first {
		if err := l.print(ctx, out); err != nil {
			return err
		}
		if err := l.missing(); err != nil {
			fmt.Fprintln(out, err)
		}
	}
	seen, at := map[string]bool{}, time.Now().Format("15:04:05")
	fields := append([]string{"uuid", "name"}, stateFields...)
	if err := l.each(ctx, fields, func(i item) error {
		name, state := i.name(), i.state()
		seen[name] = true
		was, ok := known[name]
		known[name] = state
		switch {
		case first || was == state:
			return nil
		case !ok:
			was = "new"
		}
		_, err := fmt.Fprintf(out, "%s  %s  %s -> %s\n", at, plain(name), plain(was), plain(state))
		return err
	}); err != nil {
		return err
	}
	for name, was := range known {
		if !seen[name] {
			delete(known, name)
			fmt.Fprintf(out, "%s  %s  %s -> gone\n", at, plain(name), plain(was))
		}
	}
	return nil
}

// terminalSize is the width and height of a terminal, 80 by 24 when it does not tell.
func terminalSize(w io.Writer) (width, height int) {
	width, height = 80, 24
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 4 { //nolint:gosec // a descriptor
			width, height = int(size.Col), int(size.Row)
		}
	}
	return width, height
}
