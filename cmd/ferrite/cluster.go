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

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"ferrite/client"
	"ferrite/conductor"
)

const clusterLong = `See the conductors of a cluster, move nodes away from one, and repair what does not repair itself.

Any conductor answers for all; where a command is about one of them, it is found by its name and asked at its own address.

Environment:
  FERRITE_API           where the API of any conductor is, like --api
  FERRITE_API_USER      user for http_basic, like --user
  FERRITE_API_PASSWORD  that user's password, like --password-file
  FERRITE_API_CA        certificate authority for https, like --ca-file`

func newCluster() *cobra.Command {
	a := &apiFlags{}
	online := []*cobra.Command{newClusterMembers(a), newClusterOwners(a), newClusterDrain(a), newClusterCordon(a), newClusterUncordon(a), newClusterEvict(a)}
	for _, c := range online {
		a.bind(c.Flags())
	}
	c := group("cluster", "The conductors of a cluster: see them, drain, evict, recover; its key", clusterLong,
		"  ferrite cluster members --watch\n"+
			"  ferrite cluster owners r07n09\n"+
			"  ferrite cluster drain c2\n"+
			"  ferrite cluster key > cluster.key", append(online, newClusterRecover(), newClusterKey())...)
	return c
}

func newClusterKey() *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print a new cluster key", Args: noArgs,
		Long: `Print a new random cluster key: 32 bytes in base64.

BMC passwords are sealed with it before they enter the log, and the conductors of one cluster know each other by it: give
all of them the same file. For a new key see "ferrite secrets rotate --help". Without --cluster-key-file, "ferrite serve" makes one as cluster.key in its data folder. Whoever
loses the key loses the passwords; whoever has it can read them.`,
		Example: "  (umask 077; ferrite cluster key > cluster.key)\n" +
			"  ferrite serve --data-dir /var/lib/ferrite --cluster-key-file cluster.key",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), conductor.NewKey())
			return err
		},
	}
}

// crew is any conductor's API: the one that was named, and when that does not answer those that it told of.
type crew struct {
	flags *apiFlags
	urls  []string
	last  *client.Cluster
}

func newCrew(a *apiFlags) *crew { return &crew{flags: a, urls: []string{a.url}} }

// status asks for all conductors.
func (w *crew) status(ctx context.Context) (*client.Cluster, error) {
	var first error
	for k, url := range w.urls {
		api, err := w.at(url)
		if err != nil {
			return nil, err
		}
		s, err := api.Cluster(ctx)
		api.Close()
		if err == nil {
			w.learn(url, s)
			return s, nil
		}
		if k == 0 {
			first = err
		}
		if client.Status(err) != 0 || ctx.Err() != nil {
			break
		}
	}
	if client.Status(first) == 404 {
		return nil, fmt.Errorf("%w: %s is no conductor of this version", first, withoutPassword(w.flags.url))
	}
	return nil, explain(first, w.flags)
}

// learn keeps the addresses of all who live, the one that answered first.
func (w *crew) learn(url string, s *client.Cluster) {
	w.last = s
	w.urls = append([]string{url}, slices.DeleteFunc(w.urls, func(u string) bool { return u == url })...)
	for _, m := range s.Members {
		if m.API != "" && m.Name != s.Conductor && !slices.Contains(w.urls, m.API) {
			w.urls = append(w.urls, m.API)
		}
	}
}

// at is a client of a conductor's own address, with the same user and authorities.
func (w *crew) at(url string) (*client.Client, error) {
	a := *w.flags
	a.url = url
	return a.client()
}

// strangerError says that a name is no member's.
type strangerError struct{ text string }

func (e *strangerError) Error() string { return e.text }

// left reports whether a name that is no member's is still on the list of conductors: an eviction came no further.
func (w *crew) left(ctx context.Context, name string) bool {
	api, err := w.at(w.urls[0])
	if err != nil {
		return false
	}
	defer api.Close()
	all, err := api.Conductors(ctx)
	return err == nil && slices.ContainsFunc(all, func(x *client.Conductor) bool { return x.Hostname == name && !x.Alive })
}

// member finds one by name, and its API.
func (w *crew) member(ctx context.Context, name string) (client.Member, *client.Client, error) {
	s, err := w.status(ctx)
	if err != nil {
		return client.Member{}, nil, err
	}
	m, ok := s.Member(name)
	if !ok {
		var names []string
		for _, m := range s.Members {
			names = append(names, m.Name)
		}
		return m, nil, &strangerError{fmt.Sprintf("no conductor is named %q: there are %s", name, plain(strings.Join(names, ", ")))}
	}
	if m.State == client.StateGone {
		return m, nil, nil
	}
	url := m.API
	if name == s.Conductor {
		url = w.urls[0] // where it has just answered
	}
	api, err := w.at(url)
	if err != nil {
		return m, nil, fmt.Errorf("conductor %s tells no usable address of its API (%q): %w", name, plain(m.API), err)
	}
	return m, api, nil
}

// reach explains why a conductor's own API did not do what was asked.
func (w *crew) reach(err error, m client.Member) error {
	switch {
	case err == nil:
		return nil
	case client.Status(err) == 0 && !errors.Is(err, context.Canceled):
		return fmt.Errorf("conductor %s says that its API is at %s, which does not answer from here: %w. Run this on its own machine with --api, or start it with an --api-listen or --public-endpoint that can be reached", m.Name, plain(m.API), err)
	case client.Status(err) == 409 && strings.Contains(err.Error(), "not "+m.Name):
		return fmt.Errorf("%w The address %s of conductor %s leads to another one from here: run this on its own machine with --api, or start it with an --api-listen or --public-endpoint of its own", err, plain(m.API), m.Name)
	}
	return explain(err, w.flags)
}

// oneMember wants one conductor's name.
func oneMember(c *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError{fmt.Errorf("%s: wanted one conductor by name, found %d arguments: \"ferrite cluster members\" lists them", c.CommandPath(), len(args))}
	}
	return nil
}

// document prints what the service wrote, as json or yaml.
func document(out io.Writer, raw json.RawMessage, form string) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	var b []byte
	var err error
	if form == "yaml" {
		b, err = yaml.Marshal(v)
	} else {
		b, err = json.MarshalIndent(v, "", "  ")
		b = append(b, '\n')
	}
	if err == nil {
		_, err = out.Write(b)
	}
	return err
}
