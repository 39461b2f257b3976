// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"go.yaml.in/yaml/v3"

	"ferrite/client"
	"ferrite/internal/hostrange"
)

// many is a change of many nodes.
type many struct {
	fanout  int
	timeout time.Duration // of each node, waiting included; 0 = none
	wait    bool
	yes     bool
	output  string // table, json or yaml
	watch   bool   // tell each change of a node that is waited for
	news    news
}

func (m *many) flags(c *cobra.Command) {
	c.Flags().BoolVar(&m.wait, "wait", false, "wait until it is done, not only until it is accepted")
	c.Flags().BoolVar(&m.watch, "watch", false, "wait, and write a line for each change of a node meanwhile (to stderr)")
	m.plainFlags(c)
}

// plainFlags are those of commands that have nothing to wait for.
func (m *many) plainFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&m.output, "output", "o", "table", "table, json or yaml; the latter two tell of each node")
	f.DurationVar(&m.timeout, "timeout", 5*time.Minute, "longest time for each node, 0 = no limit; the conductor goes on after it")
	f.IntVar(&m.fanout, "fanout", 64, "how many nodes at once")
	f.BoolVar(&m.yes, "yes", false, fmt.Sprintf("do not ask before more than %d nodes are changed", manyNodes))
}

func (m *many) check() error {
	m.wait = m.wait || m.watch
	switch {
	case m.fanout < 1 || m.fanout > 1024:
		return usageError{fmt.Errorf("--fanout is %d: wanted 1 to 1024", m.fanout)}
	case m.timeout < 0:
		return usageError{fmt.Errorf("--timeout is %s: wanted 0 (no limit) or more", m.timeout)}
	}
	return oneOf("output", m.output, "table", "json", "yaml")
}

// run does one thing to every node and prints who ended how. do returns what the summary calls the end.
func (m *many) run(c *cobra.Command, what string, names []string, do func(ctx context.Context, name string) (string, error)) error {
	if err := m.check(); err != nil {
		return err
	}
	if err := confirm(c, what, names, m.yes); err != nil {
		return err
	}
	above, step, finish := nodeBar(c, what, len(names))
	if m.watch {
		m.news.begin(above)
	}
	var mu sync.Mutex // guards ends
	ends := map[string][]string{}
	var failed int
	jobs := make(chan string)
	var wg sync.WaitGroup
	for range min(m.fanout, len(names)) {
		wg.Go(func() {
			for name := range jobs {
				end, err := m.one(c.Context(), name, do)
				mu.Lock()
				if err != nil {
					failed++
					end = failure + nodeReason(err, name)
				}
				ends[end] = append(ends[end], name)
				mu.Unlock()
				m.news.tell(name, end)
				step()
			}
		})
	}
	begun := 0
	for _, name := range names {
		select {
		case jobs <- name:
			begun++
			continue
		case <-c.Context().Done():
		}
		break
	}
	close(jobs)
	wg.Wait()
	finish()
	if rest := names[begun:]; len(rest) > 0 {
		ends[failure+"interrupted before it was asked"] = append(ends[failure+"interrupted before it was asked"], rest...)
		failed += len(rest)
	}
	if err := m.print(c, names, ends); err != nil {
		return err
	}
	if failed == 0 {
		return nil
	}
	bad := ""
	for end, who := range ends {
		if first := slices.Min(who); strings.HasPrefix(end, failure) && (bad == "" || first < bad) {
			bad = first
		}
	}
	return fmt.Errorf("%s failed for %d of %d nodes: \"ferrite node show %s\" tells more of the first", what, failed, len(names), bad)
}

// failure begins the ends of nodes that failed.
const failure = "failed: "

func (m *many) one(ctx context.Context, name string, do func(context.Context, string) (string, error)) (string, error) {
	if m.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("timeout %s", m.timeout))
		defer cancel()
	}
	return do(ctx, name)
}

// nodeReason is why a node failed, without its name, so that nodes that failed alike are told as one.
func nodeReason(err error, name string) string {
	var e *client.Error
	text := err.Error()
	switch {
	case errors.As(err, &e):
		text = fmt.Sprintf("%s (%d)", e.Text, e.Status)
	case errors.Is(err, context.Canceled):
		text = "interrupted; the conductor goes on if it was asked"
	}
	text = strings.TrimPrefix(text, "node "+name+": ")
	text = uuidText.ReplaceAllString(text, "...")
	return plain(strings.ReplaceAll(text, name, "..."))
}

// ending is how one node ended, for programs.
type ending struct {
	Node  string `json:"node"`
	OK    bool   `json:"ok"`
	End   string `json:"end,omitempty" yaml:",omitempty"`
	Error string `json:"error,omitempty" yaml:",omitempty"`
}

// print tells who ended how, in the form asked for; programs get the nodes in the order in which they were named.
func (m *many) print(c *cobra.Command, names []string, ends map[string][]string) error {
	if m.output == "table" {
		printEnds(c, ends)
		return nil
	}
	of := make(map[string]ending, len(names))
	for end, who := range ends {
		text, failed := strings.CutPrefix(end, failure)
		for _, name := range who {
			e := ending{Node: name, OK: !failed, End: text}
			if failed {
				e.End, e.Error = "", text
			}
			of[name] = e
		}
	}
	all := make([]ending, len(names))
	for i, name := range names {
		all[i] = of[name]
	}
	var b []byte
	var err error
	if m.output == "yaml" {
		b, err = yaml.Marshal(all)
	} else if b, err = json.MarshalIndent(all, "", "  "); err == nil {
		b = append(b, '\n')
	}
	if err == nil {
		_, err = c.OutOrStdout().Write(b)
	}
	return err
}

// printEnds prints one line an end with the nodes folded, failures last.
func printEnds(c *cobra.Command, ends map[string][]string) {
	out, colour := c.OutOrStdout(), paletteFor(c.OutOrStdout())
	var good, bad []string
	for end := range ends {
		if strings.HasPrefix(end, failure) {
			bad = append(bad, end)
		} else {
			good = append(good, end)
		}
	}
	slices.Sort(good)
	slices.Sort(bad)
	for _, end := range good {
		fmt.Fprintf(out, "%s: %s\n", colour.paint(green, end), hostrange.Fold(ends[end]))
	}
	for _, end := range bad {
		fmt.Fprintf(out, "%s (%s): %s\n", colour.paint(red, "failed"), strings.TrimPrefix(end, failure), hostrange.Fold(ends[end]))
	}
}

// nodeProgress shows a bar on a terminal when there is more than one node.
func nodeProgress(c *cobra.Command, what string, total int) (step, finish func()) {
	_, step, finish = nodeBar(c, what, total)
	return step, finish
}

// nodeBar is nodeProgress with a writer whose lines go above the bar.
func nodeBar(c *cobra.Command, what string, total int) (above io.Writer, step, finish func()) {
	if _, _, ok := terminal(c.ErrOrStderr()); !ok || total < 2 {
		return c.ErrOrStderr(), func() {}, func() {}
	}
	p := bars(c.ErrOrStderr(), 40, 100*time.Millisecond)
	bar := p.AddBar(int64(total), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name("  "+what+"  "), decor.CountersNoUnit("%d of %d  ")),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	return p, bar.Increment, func() {
		if !bar.Completed() {
			bar.Abort(true)
		}
		p.Wait()
	}
}
