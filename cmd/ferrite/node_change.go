// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/client"
	"ferrite/node"
)

// uuidText finds UUIDs in errors.
var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// powerVerbs are the verbs of "node power": what is asked and what is then waited for.
var powerVerbs = map[string]struct{ ask, want node.PowerState }{
	"on":          {node.PowerOn, node.PowerOn},
	"off":         {node.PowerOff, node.PowerOff},
	"reboot":      {node.Rebooting, node.PowerOn},
	"soft-off":    {node.SoftPowerOff, node.PowerOff},
	"soft-reboot": {node.SoftRebooting, node.PowerOn},
}

func newNodePower(a *apiFlags) *cobra.Command {
	m := &many{}
	c := &cobra.Command{
		Use: "power on|off|reboot|soft-off|soft-reboot TARGETS...", Short: "Switch nodes",
		Long: `Switch nodes on or off or reboot them, many at once, and say who ended how.

Without --wait it ends when the conductor has accepted all: what is accepted is carried out, or shows in last_error.
The exit code is 1 when any node failed.`,
		Example: "  ferrite node power on r07n09\n" +
			"  ferrite node power off 'r[01-10]n[01-20]' --wait --yes\n" +
			"  ferrite node power soft-reboot 'node[1,3,5-9]' --wait --timeout 10m\n" +
			"  ferrite node power reboot 'r07n[1-9]' --watch",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, slices.Sorted(maps.Keys(powerVerbs)))
			if err != nil {
				return err
			}
			api, err := a.client(client.WithLook(m.news.saw))
			if err != nil {
				return err
			}
			v := powerVerbs[verb]
			return m.run(c, "power "+verb, names, func(ctx context.Context, name string) (string, error) {
				if err := api.SetPower(ctx, name, v.ask, 0); err != nil {
					return "", explain(err, a)
				}
				if !m.wait {
					return "accepted", nil
				}
				_, err := api.WaitPower(ctx, name, v.want)
				return string(v.want), err
			})
		},
	}
	m.flags(c)
	return c
}

// provisionEnds are the states that provision verbs end in when all goes well.
var provisionEnds = map[string]node.State{
	"manage": node.Manageable, "provide": node.Available, "active": node.Active, "deploy": node.Active, "rebuild": node.Active,
	"deleted": node.Available, "undeploy": node.Available, "adopt": node.Active, "inspect": node.Manageable,
}

func newNodeProvision(a *apiFlags) *cobra.Command {
	m := &many{}
	c := &cobra.Command{
		Use: "provision VERB TARGETS...", Short: "Move nodes on in their provision states",
		Long: `Ask for a provision verb, many nodes at once, and say who ended how.

Verbs: manage, provide, active (deploy), rebuild, deleted (undeploy), adopt, inspect; the rest of Ironic's, such as abort,
without --wait. What needs a body of its own, such as clean, goes through the API or the "baremetal" CLI.`,
		Example: "  ferrite node provision manage 'r[01-10]n[01-20]' --wait --yes\n" +
			"  ferrite node provision provide node1,node2 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, nil)
			if err != nil {
				return err
			}
			want := provisionEnds[verb]
			if (m.wait || m.watch) && want == "" {
				return usageError{fmt.Errorf("--wait cannot wait for %q: wanted one of %s", verb, strings.Join(slices.Sorted(maps.Keys(provisionEnds)), ", "))}
			}
			api, err := a.client(client.WithLook(m.news.saw))
			if err != nil {
				return err
			}
			return m.run(c, "provision "+verb, names, func(ctx context.Context, name string) (string, error) {
				if err := api.SetProvision(ctx, name, verb); err != nil {
					return "", explain(err, a)
				}
				if !m.wait {
					return "accepted", nil
				}
				_, err := api.WaitProvision(ctx, name, want)
				return string(want), err
			})
		},
	}
	m.flags(c)
	return c
}

func newNodeMaintenance(a *apiFlags) *cobra.Command {
	m := &many{}
	var reason string
	c := &cobra.Command{
		Use: "maintenance on|off TARGETS...", Short: "Put nodes into maintenance, or take them out",
		Long: `Put nodes into maintenance, or take them out. The change is made when the command ends.`,
		Example: "  ferrite node maintenance on r07n09 --reason 'fan 3'\n" +
			"  ferrite node maintenance off 'r07n[1-9]'",
		RunE: func(c *cobra.Command, args []string) error {
			verb, names, err := verbAndTargets(args, []string{"off", "on"})
			if err != nil {
				return err
			}
			if verb == "off" && reason != "" {
				return usageError{errors.New("--reason goes with maintenance on only")}
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			return m.run(c, "maintenance "+verb, names, func(ctx context.Context, name string) (string, error) {
				if verb == "on" {
					return "maintenance on", explain(api.SetMaintenance(ctx, name, reason), a)
				}
				return "maintenance off", explain(api.UnsetMaintenance(ctx, name), a)
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, with maintenance on")
	m.plainFlags(c)
	return c
}

// verbAndTargets reads VERB TARGETS...; allowed nil = the service knows best.
func verbAndTargets(args, allowed []string) (verb string, names []string, err error) {
	if len(args) == 0 {
		return "", nil, usageError{errors.New("no verb is given: see --help")}
	}
	if allowed != nil && !slices.Contains(allowed, args[0]) {
		return "", nil, usageError{fmt.Errorf("verb %q: wanted %s, then the nodes", args[0], strings.Join(allowed, ", "))}
	}
	names, err = targets(args[1:])
	return args[0], names, err
}

func newNodeRelease(a *apiFlags) *cobra.Command {
	var force bool
	var output string
	c := &cobra.Command{
		Use: "release NODE --force", Short: "End the operation that holds a node, by force", Args: oneNode,
		Long: `End the operation that holds a node, by force, and lift its quarantine if it has one.

For a node that would be stuck else: its conductor lives, but the operation neither ends nor fails. The operation ends
with an error; what the machine does then, nobody knows: look at it before the next change. It takes about 11 seconds, the
time for which commands that are already on their way may still be sent. The audit log says who did it.

Without --force nothing is done; the refusal says what would be ended.`,
		Example: "  ferrite node release r07n09            # what holds it?\n" +
			"  ferrite node release r07n09 --force",
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return err
			}
			api, err := a.client()
			if err != nil {
				return err
			}
			if force {
				fmt.Fprintf(c.ErrOrStderr(), "releasing %s: waiting until commands on their way can no longer be sent\n", plain(args[0]))
			}
			r, err := api.Release(c.Context(), args[0], force)
			if err != nil {
				var e *client.Error
				if errors.As(err, &e) && (e.Status == 400 || e.Status == 409) {
					return errors.New(plain(e.Text))
				}
				return explain(err, a)
			}
			out := c.OutOrStdout()
			if output != "table" {
				raw, err := json.Marshal(r)
				if err != nil {
					return err
				}
				return document(out, raw, output)
			}
			fmt.Fprintf(out, "released %s\n", plain(cmp.Or(r.Name, r.Node)))
			if r.Operation != "" {
				fmt.Fprintf(out, "  ended   %s %s, phase %s, of conductor %s (operation %s)\n", plain(r.Verb), plain(r.Target), plain(r.Phase), plain(r.Conductor), r.Operation)
				fmt.Fprintf(out, "  asked   by %s, request %s, %s\n", plain(cmp.Or(r.By, "nobody by name")), cmp.Or(plain(r.Request), "none"), since(r.Since))
			}
			if r.Quarantined != "" {
				fmt.Fprintf(out, "  lifted  the quarantine because of: %s\n", plain(r.Quarantined))
			}
			fmt.Fprintf(out, "  next    look at the machine, then \"ferrite node show %s\"\n", plain(cmp.Or(r.Name, r.Node)))
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "do it")
	c.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	return c
}

func since(t *time.Time) string {
	if t == nil {
		return "at an unknown time"
	}
	return "at " + t.UTC().Format(time.RFC3339)
}
