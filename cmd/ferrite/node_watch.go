// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ferrite/client"
)

// watch looks again and again until Ctrl-C, or until what is looked at is gone. An API that does not answer is asked
// again, but for the first time.
func (a *apiFlags) watch(c *cobra.Command, every time.Duration, look func(live, first bool) error) error {
	_, _, live := terminal(c.OutOrStdout())
	for first := true; ; first = false {
		err := look(live, first)
		switch {
		case c.Context().Err() != nil:
			return nil //nolint:nilerr // Ctrl-C is its end
		case err != nil && (first || client.Status(err) == 404):
			return explain(err, a)
		case err != nil:
			fmt.Fprintln(c.ErrOrStderr(), "the API does not answer, trying again:", plain(err.Error()))
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(every):
		}
	}
}

// checkInterval wants no more than ten looks a second.
func checkInterval(every time.Duration) error {
	if every < 100*time.Millisecond {
		return usageError{fmt.Errorf("--interval is %s: wanted 100ms or more", every)}
	}
	return nil
}

// redraw clears a terminal and writes as many lines as it may have; hint says what to do about the rest.
func redraw(out io.Writer, every time.Duration, body, hint string) error {
	width, height := terminalSize(out)
	lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
	more := ""
	if most := height - 3; len(lines) > most {
		more = fmt.Sprintf("... and %d lines more: %s", len(lines)-most, hint)
		lines = lines[:most]
	}
	for i, s := range lines {
		lines[i] = cut(s, width-1)
	}
	_, err := fmt.Fprintf(out, "\x1b[H\x1b[2J%s  every %s, Ctrl-C ends\n%s\n%s", time.Now().Format("15:04:05"), every, strings.Join(lines, "\n"), cut(more, width-1))
	return err
}

// watchNode shows a node anew again and again; off a terminal it prints it and then each field that changes.
func (a *apiFlags) watchNode(c *cobra.Command, api *client.Client, ident string, every time.Duration, all bool) error {
	out := c.OutOrStdout()
	var was item
	return a.watch(c, every, func(live, first bool) error {
		raw, err := api.RawNode(c.Context(), ident)
		if err != nil {
			return err
		}
		if live {
			var b bytes.Buffer
			if err := printNode(&b, raw, "table", all); err != nil {
				return err
			}
			return redraw(out, every, b.String(), "make the window higher")
		}
		now := item{raw: raw}
		if err := json.Unmarshal(raw, &now.fields); err != nil {
			return fmt.Errorf("wanted a node from the API, found %q: %w", raw, err)
		}
		if first {
			was = now
			return printNode(out, raw, "table", all)
		}
		at := time.Now().Format("15:04:05")
		for _, f := range slices.Sorted(maps.Keys(now.fields)) {
			if f == "updated_at" || f == "power_confirmed_at" || f == "sensor_health_at" || f == "links" || was.text(f) == now.text(f) {
				continue
			}
			if _, err := fmt.Fprintf(out, "%s  %s  %s -> %s\n", at, f, was.text(f), now.text(f)); err != nil {
				return err
			}
		}
		was = now
		return nil
	})
}

// news are lines about nodes that are waited for: one when what is told of a node is not what was told before.
type news struct {
	mu   sync.Mutex // guards the fields below
	w    io.Writer  // nil = nobody reads it
	told map[string]string
}

func (n *news) begin(w io.Writer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.w, n.told = w, map[string]string{}
}

func (n *news) tell(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.w == nil || n.told[name] == text {
		return
	}
	n.told[name] = text
	fmt.Fprintf(n.w, "%s  %s  %s\n", time.Now().Format("15:04:05"), plain(name), plain(text))
}

// saw tells the states of a node, with those that it is on its way to.
func (n *news) saw(name string, x *client.Node) {
	power := strings.TrimPrefix(string(x.PowerState), "power ")
	if power == "" {
		power = "unknown"
	}
	if x.TargetPowerState != "" {
		power += " -> " + strings.TrimPrefix(string(x.TargetPowerState), "power ")
	}
	provision := string(x.ProvisionState)
	if x.TargetProvisionState != "" {
		provision += " -> " + string(x.TargetProvisionState)
	}
	n.tell(name, power+", "+provision)
}

// errWatchForm refuses --watch for programs.
var errWatchForm = usageError{errors.New("--watch goes with -o table only")}

// follow shows the list anew again and again; off a terminal it prints changes.
func (l *listing) follow(c *cobra.Command) error {
	out := c.OutOrStdout()
	known := map[string]string{} // state by name
	return l.flags.watch(c, l.every, func(live, first bool) error {
		if live {
			return l.redraw(c.Context(), out)
		}
		return l.changes(c.Context(), out, known, first)
	})
}

// redraw shows the list on a cleared terminal.
func (l *listing) redraw(ctx context.Context, out io.Writer) error {
	var b bytes.Buffer
	if err := l.print(ctx, &b); err != nil {
		return err
	}
	if err := l.missing(); err != nil {
		fmt.Fprintln(&b, err)
	}
	return redraw(out, l.every, b.String(), "narrow it by filters, or --fold")
}
