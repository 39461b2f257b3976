// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ferrite/httpapi/wire"
	"ferrite/persistence"
)

// version of this binary; CHANGELOG.md tells what is in it. A build may have another one: go build -ldflags "-X main.version=..."
var version = "0.1.0"

// about is what "ferrite version" tells.
type about struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	MinAPI  string `json:"api_min_version"`
	MaxAPI  string `json:"api_max_version"`

	Formats map[string]int `json:"data_formats"` // persistence.Formats
}

func newVersion() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "version", Short: "Print the version of this binary and of its API", Args: noArgs,
		Long: `Print the version of this binary, the range of API microversions that it speaks, and the formats of its data: a newer
binary reads all older ones, and two with the same formats read each other's.`,
		Example: "  ferrite version\n" +
			"  ferrite version -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "text", "json", "yaml"); err != nil {
				return err
			}
			a := about{version, runtime.Version(), runtime.GOOS, runtime.GOARCH, wire.VersionString(wire.MinMinor), wire.VersionString(wire.MaxMinor), persistence.Formats()}
			switch output {
			case "json":
				return printJSON(c, a)
			case "yaml":
				raw, err := json.Marshal(a)
				if err != nil {
					return err
				}
				return document(c.OutOrStdout(), raw, output)
			}
			fmt.Fprintf(c.OutOrStdout(), "ferrite %s (%s %s/%s), Bare Metal API %s to %s\n", a.Version, a.Go, a.OS, a.Arch, a.MinAPI, a.MaxAPI)
			var formats []string
			for _, what := range slices.Sorted(maps.Keys(a.Formats)) {
				formats = append(formats, fmt.Sprintf("%s %d", what, a.Formats[what]))
			}
			fmt.Fprintf(c.OutOrStdout(), "data formats: %s\n", strings.Join(formats, ", "))
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return c
}

func printJSON(c *cobra.Command, v any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
