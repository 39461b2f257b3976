// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ferrite/client"
)

func newClusterDrain(a *apiFlags) *cobra.Command {
	var wait, noWait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use: "drain NAME", Short: "Hand over all nodes of a conductor", Args: oneMember,
		Long: `Hand over all nodes of a conductor to the others, and wait until it has none.

Idle nodes move at once; an operation under way ends where it is, or moves at a step's end, and no request fails. The
conductor goes on answering requests, keeps its copy of the log and its vote. It stays drained until it is uncordoned or
restarted. A conductor that ends (SIGTERM) drains by itself; draining first shows how long that takes, and that nothing is
left. Of a conductor_group that nobody else serves, the last conductor is not drained.

Ctrl-C ends the waiting, not the drain.`,
		Example: "  ferrite cluster drain c2\n" +
			"  ferrite cluster drain c2 && ssh c2 systemctl restart ferrite\n" +
			"  ferrite cluster drain c2 --no-wait && ferrite cluster members --watch",
		RunE: func(c *cobra.Command, args []string) error {
			if wait && noWait {
				return usageError{errors.New("--wait and --no-wait exclude each other")}
			}
			if timeout < 0 {
				return usageError{fmt.Errorf("--timeout is %s: wanted 0 (no limit) or more", timeout)}
			}
			w := newCrew(a)
			m, api, err := w.change(c, args[0], client.StateDraining)
			if err != nil {
				return err
			}
			defer api.Close()
			if noWait {
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s drains: it had %s\n", m.Name, count(m.Nodes, "node"))
				return err
			}
			return w.drained(c, m, api, timeout)
		},
	}
	f := c.Flags()
	f.BoolVar(&wait, "wait", false, "wait until it has no node (as it does anyhow)")
	f.BoolVar(&noWait, "no-wait", false, "end when the conductor has begun")
	f.DurationVar(&timeout, "timeout", 10*time.Minute, "longest time to wait, 0 = no limit; the drain goes on after it")
	return c
}

func newClusterCordon(a *apiFlags) *cobra.Command {
	return &cobra.Command{
		Use: "cordon NAME", Short: "Give a conductor no further nodes", Args: oneMember,
		Long: `Give a conductor no further nodes: it keeps those that it has and goes on looking after them. It lasts until the
conductor is uncordoned, drained or restarted.`,
		Example: "  ferrite cluster cordon c2",
		RunE: func(c *cobra.Command, args []string) error {
			m, api, err := newCrew(a).change(c, args[0], client.StateCordoned)
			if err != nil {
				return err
			}
			api.Close()
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is cordoned: it keeps its %s and takes no other\n", m.Name, count(m.Nodes, "node"))
			return err
		},
	}
}

func newClusterUncordon(a *apiFlags) *cobra.Command {
	return &cobra.Command{
		Use: "uncordon NAME", Short: "Let a drained or cordoned conductor take nodes again", Args: oneMember,
		Long:    `Let a conductor that was drained or cordoned take nodes again: its own share comes back to it at once.`,
		Example: "  ferrite cluster uncordon c2",
		RunE: func(c *cobra.Command, args []string) error {
			m, api, err := newCrew(a).change(c, args[0], client.StateActive)
			if err != nil {
				return err
			}
			api.Close()
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s takes nodes again\n", m.Name)
			return err
		},
	}
}

// change asks a conductor, at its own address, to be in another state.
func (w *crew) change(c *cobra.Command, name, state string) (client.Member, *client.Client, error) {
	m, api, err := w.member(c.Context(), name)
	if err != nil {
		return m, nil, err
	}
	if api == nil {
		return m, nil, fmt.Errorf("conductor %s is gone, the others have its nodes already: if it does not come back, \"ferrite cluster evict %s\"", name, name)
	}
	if err := api.SetState(c.Context(), name, state); err != nil {
		api.Close()
		return m, nil, w.reach(err, m)
	}
	return m, api, nil
}

// drained waits until a conductor has no node.
func (w *crew) drained(c *cobra.Command, m client.Member, api *client.Client, timeout time.Duration) error {
	ctx := c.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	began, total, left, silent := time.Now(), 0, m.Nodes, 0 // left: until it says
	operations := 0
	var show func(done, total int)
	finish := func() {}
	defer func() { finish() }()
	for {
		s, err := api.Cluster(ctx)
		switch {
		case err == nil && s.Conductor != m.Name:
			return fmt.Errorf("%s is the address of conductor %s now, not of %s", plain(m.API), plain(s.Conductor), m.Name)
		case err == nil && s.Here.State == client.StateActive:
			return fmt.Errorf("conductor %s takes nodes again: it was uncordoned or restarted meanwhile", m.Name)
		case err == nil:
			silent = 0
			left, operations = s.Here.Active, s.Here.Operations
			total = max(total, left, m.Nodes)
			if show == nil {
				show, finish = drainProgress(c.ErrOrStderr(), total)
			}
			show(total-left, total)
			if x, ok := s.Member(m.Name); left == 0 && ok && x.Nodes == 0 {
				finish()
				finish = func() {}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s has no node any more, after %.1f s: stop it, or give nodes back by \"ferrite cluster uncordon %s\"\n", m.Name, time.Since(began).Seconds(), m.Name)
				return err
			}
		case ctx.Err() == nil:
			if silent++; silent >= 10 {
				return fmt.Errorf("conductor %s does not answer any more; \"ferrite cluster members\" tells whether it is gone: %w", m.Name, err)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		if c.Context().Err() != nil {
			return fmt.Errorf("interrupted with %s left on %s: the drain goes on, \"ferrite cluster uncordon %s\" ends it", count(left, "node"), m.Name, m.Name)
		}
		return fmt.Errorf("%s still has %s after %s, with %s under way: the drain goes on; \"ferrite node list --long\" shows what runs (reservation)", m.Name, count(left, "node"), timeout, count(operations, "operation"))
	}
}

// drainProgress is a bar on a terminal.
func drainProgress(w io.Writer, total int) (show func(done, total int), finish func()) {
	if _, _, ok := terminal(w); !ok || total == 0 {
		return func(int, int) {}, func() {}
	}
	p := bars(w, 40, 100*time.Millisecond)
	bar := p.AddBar(int64(total), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name("  handed over  "), decor.CountersNoUnit("%d of %d  ")),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	return func(done, total int) {
			bar.SetTotal(int64(total), false)
			bar.SetCurrent(int64(done))
		}, func() {
			bar.Abort(true)
			p.Wait()
		}
}

func newClusterEvict(a *apiFlags) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "evict NAME", Short: "Take a conductor that is lost for good out of the cluster", Args: oneMember,
		Long: `Take a conductor that is lost for good out of the log and off the list of conductors.

It need not be done in a hurry: the nodes of a conductor that is gone are taken over within about a second, its vote is given
to another conductor, if there is one without, within ten seconds, and if it comes back it goes on where it was. Evict what
will not come back, so that the log does not count on it; if it does come back, it joins as a new member. A conductor that
lives is not evicted: stop it first. An eviction that failed half-way is finished by saying it again.`,
		Example: "  ferrite cluster evict c3\n" +
			"  ferrite cluster evict c3 --yes",
		RunE: func(c *cobra.Command, args []string) error {
			w, name := newCrew(a), args[0]
			m, other, err := w.member(c.Context(), name)
			var stranger *strangerError
			if errors.As(err, &stranger) && w.left(c.Context(), name) {
				err = nil
			}
			if err != nil {
				return err
			}
			if other != nil {
				other.Close()
				return fmt.Errorf("conductor %s is %s: only one that is gone is evicted; stop it first", name, m.State)
			}
			if err := sure(c, yes, fmt.Sprintf("Conductor %s is gone. The log will not count on it any more; if it is started again, it joins as a new member.\nEvict %s?", name, name)); err != nil {
				return err
			}
			api, err := w.at(w.urls[0])
			if err != nil {
				return err
			}
			defer api.Close()
			if err := api.Evict(c.Context(), name); err != nil {
				return explain(err, a)
			}
			s, err := w.status(c.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is evicted. The cluster %s.\n", name, plain(s.Advice))
			return err
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// sure asks before something that cannot be undone. Who cannot be asked must have said --yes.
func sure(c *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	in, out := c.InOrStdin(), c.ErrOrStderr()
	_, _, seen := terminal(out)
	if w, ok := in.(io.Writer); !ok || !seen || !typed(w) {
		return usageError{errors.New("this cannot be undone: say --yes to do so (nobody can be asked here)")}
	}
	fmt.Fprintf(out, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed: the answer was not yes")
	}
	return nil
}
