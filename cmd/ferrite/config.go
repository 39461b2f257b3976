// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/config"
)

func newConfig() *cobra.Command {
	return group("config", "Show and check the settings of \"ferrite serve\"",
		"Show and check the settings of \"ferrite serve\". Both commands take its flags, its environment and its file.",
		"  ferrite config show --effective\n  ferrite config check --config ferrite.yaml", newConfigShow(), newConfigCheck())
}

func newConfigShow() *cobra.Command {
	var effective bool
	var output string
	c := &cobra.Command{
		Use: "show", Short: "Print settings and where they come from", Args: noArgs,
		Long: `Print the settings that were set, and where they come from; with --effective all settings, defaults included.
The YAML output is a file for --config. Passwords are not shown.`,
		Example: "  ferrite config show --effective\n" +
			"  ferrite config show --config ferrite.yaml --sync-power-state-interval 30s\n" +
			"  ferrite config show --effective -o yaml > ferrite.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			show := map[string]func(*cobra.Command, []config.Row) error{"table": rowsAsTable, "yaml": rowsAsYAML, "json": rowsAsJSON}[output]
			if show == nil {
				return oneOf("output", output, "table", "yaml", "json")
			}
			s, err := loadSettings(c)
			if err != nil {
				return err
			}
			cc, err := conductorConfig(s)
			if err != nil {
				return err
			}
			rows := []config.Row{}
			for _, r := range s.Effective() {
				if effective || s.Given(r.Key) {
					r = inEffect(r, &cc)
					r.Value = withoutPassword(r.Value)
					if r.Key == "nova.password" && r.Value != "" {
						r.Value = "******"
					}
					rows = append(rows, r)
				}
			}
			return show(c, rows)
		},
	}
	addSettings(c)
	hideSettings(c)
	c.Flags().BoolVar(&effective, "effective", false, "all settings, not only those that were set")
	c.Flags().StringVarP(&output, "output", "o", "table", "table, yaml or json")
	return c
}

// inEffect fills in what an empty setting comes to.
func inEffect(r config.Row, c *conductor.Config) config.Row {
	if r.Value != "" {
		return r
	}
	if kind, ok := strings.CutPrefix(r.Key, "enabled_"); ok {
		r.Value = strings.Join(c.Policy.Enabled[strings.TrimSuffix(kind, "_interfaces")], ",")
	}
	if kind, ok := strings.CutPrefix(r.Key, "default_"); ok && strings.HasSuffix(kind, "_interface") && r.Note == "" {
		r.Note = "the first enabled one that the hardware type knows"
	}
	if r.Key == "name" {
		r.Value = c.Name
	}
	return r
}

func newConfigCheck() *cobra.Command {
	c := &cobra.Command{
		Use: "check", Short: "Check settings without starting anything", Args: noArgs,
		Long: `Check flags, environment and file as "ferrite serve" would, without starting anything. Files that settings name are
read. Each error names the key, the value, where it came from and what is allowed. The exit code is 2 when there is one.`,
		Example: "  ferrite config check --config ferrite.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(c)
			if err == nil {
				_, err = conductorConfig(s)
			}
			if err != nil {
				lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
				if len(lines) == 1 {
					return err
				}
				for _, l := range lines {
					fmt.Fprintln(c.ErrOrStderr(), "ferrite:", l)
				}
				return usageError{fmt.Errorf("%d errors in the settings", len(lines))}
			}
			given := 0
			for _, r := range s.Effective() {
				if s.Given(r.Key) {
					given++
				}
			}
			for _, note := range s.Notes() {
				fmt.Fprintln(c.OutOrStdout(), "note:", note)
			}
			fmt.Fprintf(c.OutOrStdout(), "ok: %d settings differ from their defaults or repeat them\n", given)
			return nil
		},
	}
	addSettings(c)
	hideSettings(c)
	return c
}

// hideSettings keeps a hundred flags out of a command's help; it takes them all the same.
func hideSettings(c *cobra.Command) {
	for _, o := range config.Options {
		if err := c.Flags().MarkHidden(o.Flag()); err != nil {
			panic(err) // RegisterFlags has just made it
		}
	}
	c.Long += "\n\nAll flags of \"ferrite serve\" are taken."
}

func rowsAsTable(c *cobra.Command, rows []config.Row) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tSOURCE\tNOTE")
	for _, r := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join([]string{r.Key, r.Value, r.Source, r.Note}, "\t"), "\t"))
	}
	return w.Flush()
}

func rowsAsJSON(c *cobra.Command, rows []config.Row) error { return printJSON(c, rows) }

// rowsAsYAML writes a file that --config takes.
func rowsAsYAML(c *cobra.Command, rows []config.Row) error {
	var all []error
	for _, r := range rows {
		line := r.Key + ": " + yamlScalar(r.Value)
		if r.Note != "" {
			line += " # " + r.Note
		} else if r.Source != "default" {
			line += " # " + r.Source
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), line)
		all = append(all, err)
	}
	return errors.Join(all...)
}

// yamlScalar is a value in YAML: numbers and switches as they are, the rest quoted.
func yamlScalar(v string) string {
	if v == "true" || v == "false" {
		return v
	}
	if _, err := strconv.Atoi(v); err == nil {
		return v
	}
	return strconv.Quote(v)
}

// withoutPassword hides the password of a URL.
func withoutPassword(v string) string {
	if !strings.Contains(v, "@") {
		return v
	}
	parts := strings.Split(v, ",")
	for i, p := range parts {
		if u, err := url.Parse(p); err == nil && u.User != nil {
			parts[i] = u.Redacted()
		}
	}
	return strings.Join(parts, ",")
}
