// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/notify"
)

// replay is what "ferrite notifications replay" was asked for.
type replay struct {
	flags                           apiFlags
	from, to, subject, output, nats string
	publish                         bool
}

func newNotificationsReplay() *cobra.Command {
	var r replay
	c := &cobra.Command{
		Use: "replay --from REV", Short: "Print or publish again what a conductor has already told", Args: noArgs,
		Long: `Print the notifications that a running conductor still keeps (outbox_keep), in their order, from a revision on.

REV is the header Ferrite-Rev of a notification, "120.1", or the part before the dot; "oldest" is the first that is kept.
When older ones are asked for than are kept, it says so and prints nothing: there would be a gap.

With --publish they are published on NATS again, with the same message ids, headers and bodies: who has seen them drops
them by these, who has not gets them.`,
		Example: "  ferrite notifications replay --from oldest\n" +
			"  ferrite notifications replay --from 120.1 --to 200 --subject '*.error.>'\n" +
			"  ferrite notifications replay --from 120 -o json | jq .event_type\n" +
			"  ferrite notifications replay --from 120 --publish --nats-url nats://nats.example:4222",
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c) },
	}
	f := c.Flags()
	f.StringVar(&r.from, "from", "", "first revision (needed)")
	f.StringVar(&r.to, "to", "", "last revision (default: what there is now)")
	f.StringVar(&r.subject, "subject", "", "which notifications, with NATS's wildcards (default: all)")
	f.StringVarP(&r.output, "output", "o", "text", "text, or json: the bodies as they are")
	f.BoolVar(&r.publish, "publish", false, "publish them again instead of printing them")
	f.StringVar(&r.nats, "nats-url", "nats://127.0.0.1:4222", "with --publish: where NATS is")
	bindAPI(c, &r.flags)
	return c
}

func (r *replay) run(c *cobra.Command) error {
	if err := oneOf("output", r.output, "text", "json"); err != nil {
		return err
	}
	if r.from == "" {
		return usageError{errors.New("--from is missing: wanted a revision like 120 or 120.1, or oldest")}
	}
	if r.from != "oldest" {
		if _, _, err := notify.ParsePlace(r.from); err != nil {
			return usageError{fmt.Errorf("--from: %w, or oldest", err)}
		}
	}
	if r.to != "" {
		if _, err := strconv.ParseUint(r.to, 10, 64); err != nil {
			return usageError{fmt.Errorf("--to is %q: wanted a revision like 120", r.to)}
		}
	}
	base, err := r.flags.access()
	if err != nil {
		return err
	}
	if r.publish {
		return r.again(c, base)
	}
	out, colour := bufio.NewWriter(c.OutOrStdout()), paletteFor(c.OutOrStdout())
	defer func() { _ = out.Flush() }() // the reader has gone: nobody to tell
	return r.each(c.Context(), base, func(k keptNotification) error {
		if r.output == "json" {
			_, err := fmt.Fprintf(out, "%s\n", k.Body)
			return err
		}
		h, err := notify.Read(k.Subject, k.Body)
		if err != nil {
			_, err = fmt.Fprintf(out, "%-10s %s\n", k.Rev, colour.paint(yellow, plain(err.Error())))
			return err
		}
		_, err = fmt.Fprintf(out, "%-10s %s\n", k.Rev, eventLine(h, colour))
		return err
	})
}

// again publishes what was read.
func (r *replay) again(c *cobra.Command, base *access) error {
	bus, err := notify.Connect(notify.Link{URL: r.nats, Name: "ferrite notifications replay"})
	if err != nil {
		return usageError{err}
	}
	defer bus.Reset()
	ctx, sent, first, last := c.Context(), 0, "", ""
	err = r.each(ctx, base, func(k keptNotification) error {
		if err := bus.Publish(ctx, notify.Packet{Subject: k.Subject, ID: k.ID, Place: k.Rev, Node: k.Node, Body: k.Body}); err != nil {
			return fmt.Errorf("publishing %s at %s: %w", k.Rev, withoutPassword(r.nats), err)
		}
		sent++
		first, last = cmp.Or(first, k.Rev), k.Rev
		if sent%256 == 0 {
			return r.confirm(ctx, bus, last)
		}
		return nil
	})
	if err == nil && sent > 0 {
		err = r.confirm(ctx, bus, last)
	}
	if err != nil {
		return err
	}
	if sent == 0 {
		fmt.Fprintln(c.OutOrStdout(), "nothing to publish: no such notification is kept")
		return nil
	}
	fmt.Fprintf(c.OutOrStdout(), "published %d notifications again, %s to %s, at %s\n", sent, first, last, withoutPassword(r.nats))
	return nil
}

func (r *replay) confirm(ctx context.Context, bus notify.Bus, last string) error {
	if err := bus.Confirm(ctx); err != nil {
		return fmt.Errorf("NATS at %s did not confirm what was published up to %s: %w", withoutPassword(r.nats), last, err)
	}
	return nil
}

// keptNotification is a line of GET /v1/x/notifications.
type keptNotification struct {
	Rev, ID, Subject, Node string
	Body                   json.RawMessage
}

// each calls fn for every notification asked for, answer by answer. What happens meanwhile is not waited for.
func (r *replay) each(ctx context.Context, base *access, fn func(keptNotification) error) error {
	line := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: base.roots}}
	defer line.CloseIdleConnections()
	client := &http.Client{Timeout: time.Minute, Transport: line}
	from, to := r.from, r.to
	for from != "" {
		q := url.Values{"from": {from}}
		for key, value := range map[string]string{"to": to, "subject": r.subject} {
			if value != "" {
				q.Set(key, value)
			}
		}
		u := *base.base
		u.Path, u.RawQuery = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")+"/v1/x/notifications", q.Encode()
		if base.user != "" {
			u.User = url.UserPassword(base.user, base.password)
		}
		head, err := r.page(ctx, client, u.String(), fn)
		if err != nil {
			return err
		}
		from, to = head.Get("Ferrite-Next"), head.Get("Ferrite-To")
	}
	return nil
}

// page reads one answer.
func (r *replay) page(ctx context.Context, client *http.Client, address string, fn func(keptNotification) error) (http.Header, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(q) // signs in by the user of the URL
	if err != nil {
		return nil, fmt.Errorf("the conductor at %s does not answer: %w", withoutPassword(r.flags.url), err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, apiError(answer)
	}
	lines := json.NewDecoder(answer.Body)
	for {
		var k keptNotification
		switch err := lines.Decode(&k); {
		case errors.Is(err, io.EOF):
			return answer.Header, nil
		case err != nil:
			return nil, fmt.Errorf("wanted one notification a line from %s: %w", withoutPassword(r.flags.url), err)
		}
		if err := fn(k); err != nil {
			return nil, err
		}
	}
}

// apiError is the text of an error of the API, without its wrapping.
func apiError(answer *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var outer struct {
		Message string `json:"error_message"`
	}
	var inner struct {
		Text string `json:"faultstring"`
	}
	_ = json.Unmarshal(body, &outer)
	_ = json.Unmarshal([]byte(outer.Message), &inner)
	return fmt.Errorf("%s (%d)", cmp.Or(inner.Text, plain(outer.Message), plain(string(body)), answer.Status), answer.StatusCode)
}
