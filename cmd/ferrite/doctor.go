// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/internal/doctor"
	"ferrite/internal/redact"
)

func newDoctor() *cobra.Command {
	var output string
	var quiet bool
	a := &apiFlags{}
	c := &cobra.Command{
		Use: "doctor", Short: "Look at a conductor and its machine, and say what to do", Args: noArgs,
		Long: `Look at the settings, the data folder, clocks, limits, ports, the running conductor, NATS and each class of BMCs (driver and
vendor), and say of each whether it is in order; if not, what was wanted and what to do. The exit code is 1 if anything fails.

It works with the conductor running and stopped. Give it the settings that the conductor has (--config, FERRITE_...), and run
it as root or as the conductor's user: others cannot see all.

It changes nothing. A small file in the data folder times the disk, and one BMC of each class is asked what it answers to
anybody, without a session; --no-probe leaves both out.`,
		Example: "  ferrite doctor --config /etc/ferrite/ferrite.yaml --data-dir /var/lib/ferrite\n" +
			"  ferrite doctor --data-dir ferrite-data -o json | jq '.findings[] | select(.status != \"ok\")'\n" +
			"  ferrite doctor --api https://conductor:6385 --user admin --password-file admin.pw",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return err
			}
			e, err := examine(c, a, !quiet)
			if err != nil {
				return err
			}
			if err := e.print(c, output); err != nil {
				return err
			}
			if n := doctor.Counted(e.findings).Fail; n > 0 {
				return fmt.Errorf("%d of %d checks failed", n, len(e.findings))
			}
			return nil
		},
	}
	addSettings(c)
	hideSettings(c)
	doctorFlags(c, a)
	f := c.Flags()
	f.BoolVar(&quiet, "no-probe", false, "write no file to time the disk, and send nothing to BMCs")
	f.StringVarP(&output, "output", "o", "table", "table, json or yaml")
	return c
}

// doctorFlags say where the API is; without them the settings do.
func doctorFlags(c *cobra.Command, a *apiFlags) {
	f := c.Flags()
	f.StringVar(&a.url, "api", os.Getenv("FERRITE_API"), "where the API is (default: as the settings say)")
	f.StringVar(&a.user, "user", os.Getenv("FERRITE_API_USER"), "user for http_basic")
	f.StringVar(&a.passwordFile, "password-file", "", "file that holds its password")
	f.StringVar(&a.ca, "ca-file", os.Getenv("FERRITE_API_CA"), "PEM file of the certificate authorities to trust instead of the system's")
}

// examination is one look at everything.
type examination struct {
	ctx      context.Context //nolint:containedctx // of one command
	settings *config.Config
	cfg      conductor.Config
	valid    bool // settings and cfg are what the conductor would start with
	api      *apiTarget
	probe    bool

	pid      int            // of the conductor on this machine, 0 = none is seen
	up       bool           // the API answers as a conductor's does
	metrics  doctor.Metrics // nil = none were read
	fleet    *fleetSummary  // nil = it was not told
	findings []doctor.Finding
	known    *redact.Redactor
}

// examine looks at everything. The error is for a wrong command line.
func examine(c *cobra.Command, a *apiFlags, probe bool) (*examination, error) {
	e := &examination{ctx: c.Context(), probe: probe}
	e.configuration(c)
	var err error
	if e.api, err = newAPITarget(a, e.settings); err != nil {
		return nil, err
	}
	e.pid = doctor.Holder(e.cfg.DataDir)
	at := len(e.findings)
	e.conductor() // first, for what it knows of the others; told after the machine
	told := slices.Clone(e.findings[at:])
	e.findings = e.findings[:at]
	e.machine()
	e.add(told...)
	e.nats()
	e.nova()
	e.classes()
	e.known = knownSecrets(e)
	for i := range e.findings { // errors hold what they were given
		e.findings[i].Found = e.known.Text(e.findings[i].Found)
	}
	return e, nil
}

// doctorReport is what "-o json" prints.
type doctorReport struct {
	Version  string           `json:"version" yaml:"version"`
	At       time.Time        `json:"at" yaml:"at"`
	Host     string           `json:"host" yaml:"host"`
	Summary  doctor.Count     `json:"summary" yaml:"summary"`
	Findings []doctor.Finding `json:"findings" yaml:"findings"`
	Settings []config.Row     `json:"settings" yaml:"settings"` // that were set
}

func (e *examination) report() doctorReport {
	host, _ := os.Hostname() // "" = unknown
	return doctorReport{
		Version: version, At: time.Now().UTC().Truncate(time.Second), Host: host,
		Summary: doctor.Counted(e.findings), Findings: e.findings, Settings: e.rows(false),
	}
}

// rows are the settings with their sources, without secrets; all = defaults too.
func (e *examination) rows(all bool) []config.Row {
	rows := []config.Row{}
	for _, r := range e.settings.Effective() {
		if all || e.settings.Given(r.Key) {
			rows = append(rows, maskRow(inEffect(r, &e.cfg)))
		}
	}
	return rows
}

// maskRow hides what a setting holds of secrets.
func maskRow(r config.Row) config.Row {
	r.Value = withoutPassword(r.Value)
	if strings.HasSuffix(r.Key, "password") && r.Value != "" {
		r.Value = "******"
	}
	return r
}

func (e *examination) print(c *cobra.Command, output string) error {
	r := e.report()
	switch output {
	case "json":
		return printJSON(c, r)
	case "yaml":
		b, err := yaml.Marshal(r)
		if err == nil {
			_, err = c.OutOrStdout().Write(b)
		}
		return err
	}
	return printReport(c.OutOrStdout(), r)
}

var statusColour = map[doctor.Status]string{doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red}

// printReport writes the findings as a table; below those that are not well stand what was wanted and what to do.
func printReport(w io.Writer, r doctorReport) error {
	colour := paletteFor(w)
	columns, _, seen := terminal(w)
	check := 0
	for _, f := range r.Findings {
		check = max(check, len(f.Area)+2+len(f.Check))
	}
	var b strings.Builder
	line := func(status, name, say string) {
		if seen {
			say = text.WrapSoft(say, max(20, columns-check-9))
		}
		for i, part := range strings.Split(say, "\n") {
			if i > 0 {
				status, name = "", ""
			}
			fmt.Fprintf(&b, "%s%s  %-*s  %s\n", colour.paint(statusColour[doctor.Status(status)], status), strings.Repeat(" ", 6-len(status)), check, name, strings.TrimRight(part, " "))
		}
	}
	fmt.Fprintf(&b, "ferrite %s on %s, %s, %s %s/%s\n\n", r.Version, cmp.Or(r.Host, "this machine"), r.At.Format(time.RFC3339), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	line("Status", "Check", "Found")
	for _, f := range r.Findings {
		line(string(f.Status), f.Area+": "+f.Check, plain(f.Found))
		if f.Status != doctor.OK {
			line("", "", "wanted: "+plain(f.Wanted))
			line("", "", "do:     "+plain(f.Do))
		}
	}
	if len(r.Settings) > 0 {
		t := plainTable()
		t.AppendHeader(table.Row{"Setting", "Value", "Source"})
		for _, s := range r.Settings {
			t.AppendRow(table.Row{s.Key, plain(s.Value), plain(s.Source)})
		}
		fmt.Fprintf(&b, "\n%s\n", t.Render())
	}
	fmt.Fprintf(&b, "\n%d ok, %d warn, %d fail\n", r.Summary.OK, r.Summary.Warn, r.Summary.Fail)
	_, err := io.WriteString(w, b.String())
	return err
}
