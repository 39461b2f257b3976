// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ferrite/client"
	"ferrite/internal/hostrange"
)

const nodeLong = `See and change nodes through a conductor's API.

TARGETS are names or UUIDs, with host ranges: r[01-10]n[01-20], node[1,3,5-9], a[01-10],b3. Leading zeros are kept. Quote
them, since the shell has ideas of its own about brackets.` + apiEnvironment

// apiEnvironment ends the help of commands that ask the API.
const apiEnvironment = `

Environment:
  FERRITE_API           where the API is, like --api
  FERRITE_API_USER      user for http_basic, like --user
  FERRITE_API_PASSWORD  that user's password, like --password-file
  FERRITE_API_CA        certificate authority for https, like --ca-file`

// apiFlags say where the API is and who asks.
type apiFlags struct {
	url, user, passwordFile, ca string
}

func newNode() *cobra.Command {
	a := &apiFlags{}
	c := group("node", "See and change nodes, by name or host range", nodeLong,
		"  ferrite node list --fold\n"+
			"  ferrite node power on 'r[01-10]n[01-20]' --wait\n"+
			"  ferrite node show r07n09",
		newNodeList(a), newNodeShow(a), newNodePower(a), newNodeProvision(a), newNodeMaintenance(a), newNodeRelease(a),
		newNodeSensors(a), newNodeEvents(a), newNodeIdentify(a), newNodeBootDevice(a), newNodeResetBMC(a))
	a.bind(c.PersistentFlags())
	return c
}

// bind adds the flags.
func (a *apiFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&a.url, "api", cmp.Or(os.Getenv("FERRITE_API"), "http://127.0.0.1:6385"), "where the API is")
	f.StringVar(&a.user, "user", os.Getenv("FERRITE_API_USER"), "user for http_basic")
	f.StringVar(&a.passwordFile, "password-file", "", "file that holds its password")
	f.StringVar(&a.ca, "ca-file", os.Getenv("FERRITE_API_CA"), "PEM file of the certificate authorities to trust instead of the system's")
}

// access is where the API is and what opens it.
type access struct {
	base           *url.URL // without user and password
	user, password string
	roots          *x509.CertPool // nil = the system's
}

// access is what flags and environment say.
func (a *apiFlags) access() (*access, error) {
	u, err := url.Parse(a.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--api is %q: wanted http://host:port or https://host:port", withoutPassword(a.url))}
	}
	w := &access{base: u, user: a.user, password: os.Getenv("FERRITE_API_PASSWORD")}
	if u.User != nil {
		w.user = u.User.Username()
		w.password, _ = u.User.Password()
		u.User = nil
	}
	if a.passwordFile != "" {
		b, err := os.ReadFile(a.passwordFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("--password-file: %w", err)}
		}
		w.password = strings.TrimRight(string(b), "\r\n")
	}
	if a.ca != "" {
		b, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca-file: %w", err)}
		}
		w.roots = x509.NewCertPool()
		if !w.roots.AppendCertsFromPEM(b) {
			return nil, usageError{fmt.Errorf("--ca-file %s: wanted certificates in PEM, found none", a.ca)}
		}
	}
	return w, nil
}

// client is a client of the API as flags and environment say.
func (a *apiFlags) client(more ...client.Option) (*client.Client, error) {
	w, err := a.access()
	if err != nil {
		return nil, err
	}
	opts := []client.Option{client.WithUserAgent("ferrite-node/" + version), client.WithPoll(500 * time.Millisecond), client.WithStale(tellStale(os.Stderr))}
	if w.user != "" {
		opts = append(opts, client.WithBasicAuth(w.user, w.password))
	}
	if w.roots != nil {
		opts = append(opts, client.WithRoots(w.roots))
	}
	return client.New(w.base.String(), append(opts, more...)...), nil
}

// tellStale makes what says on w, once, that an answer is what was known some time ago (R4).
func tellStale(w io.Writer) func(time.Duration) {
	var once sync.Once
	return func(since time.Duration) {
		once.Do(func() {
			fmt.Fprintf(w, "ferrite: this is what was known %s ago: the log has no leader, so it cannot be confirmed and nothing can be changed; see \"ferrite cluster members\"\n", since)
		})
	}
}

// maxTargets is how many nodes one command may name.
const maxTargets = 100_000

// targets expands the host ranges of a command line.
func targets(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, usageError{errors.New("no node is named: wanted names, UUIDs or host ranges like 'r[01-10]n[01-20]'")}
	}
	names, err := hostrange.Expand(strings.Join(args, ","), maxTargets)
	if err != nil {
		return nil, usageError{err}
	}
	return names, nil
}

// oneNode wants one name or UUID.
func oneNode(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s: wanted one node by name or UUID, found %d arguments", c.CommandPath(), len(args))}
	}
	return nil
}

// manyNodes is how many nodes may be changed without being asked.
const manyNodes = 50

// confirm asks before many nodes are changed. Who cannot be asked must have said yes.
func confirm(c *cobra.Command, what string, names []string, yes bool) error {
	if len(names) <= manyNodes || yes {
		return nil
	}
	in, out := c.InOrStdin(), c.ErrOrStderr()
	_, _, seen := terminal(out)
	if w, ok := in.(io.Writer); !ok || !seen || !typed(w) {
		return usageError{fmt.Errorf("%s would change %d nodes, more than %d: say --yes to do so (nobody can be asked here)", what, len(names), manyNodes)}
	}
	fmt.Fprintf(out, "%s of %d nodes: %s\nGo on? [y/N] ", what, len(names), hostrange.Fold(names))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed: the answer was not yes")
	}
	return nil
}

// typed reports whether what is read comes from somebody at a terminal.
func typed(in io.Writer) bool { _, _, ok := terminal(in); return ok }

// explain adds what to do next to an error of the API.
func explain(err error, a *apiFlags) error {
	switch status := client.Status(err); {
	case err == nil:
		return nil
	case status == 401:
		return fmt.Errorf("%w: sign in with --user and --password-file, or FERRITE_API_USER and FERRITE_API_PASSWORD", err)
	case status == 404:
		return fmt.Errorf("%w: \"ferrite node list\" shows what there is", err)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w: name the authority's PEM file by --ca-file or FERRITE_API_CA", err)
	case status == 0 && !errors.Is(err, os.ErrDeadlineExceeded) && strings.Contains(err.Error(), "connect"):
		return fmt.Errorf("%w: is a conductor running there? --api and FERRITE_API say where it is, now %s", err, withoutPassword(a.url))
	}
	return err
}
