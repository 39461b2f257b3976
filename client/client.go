// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultVersion is the microversion that a Client asks for unless told otherwise.
const DefaultVersion = "1.89"

const (
	headerExtensions = "Ferrite-Extensions"
	headerStale      = "Ferrite-Stale"
	headerVersion    = "X-OpenStack-Ironic-API-Version"
	headerMinVersion = "X-OpenStack-Ironic-API-Minimum-Version"
	headerMaxVersion = "X-OpenStack-Ironic-API-Maximum-Version"
	headerRequest    = "Openstack-Request-Id"

	defaultPoll    = 200 * time.Millisecond
	requestTimeout = 60 * time.Second // of one request; the conductor answers long work with 202
	maxAnswer      = 256 << 20        // bytes: a page of 1000 nodes in detail is about 5 MB
)

// Client speaks to one Bare Metal API.
type Client struct {
	base     *url.URL
	baseErr  error // why base is no use; every call returns it
	http     *http.Client
	version  string
	agent    string
	user     string
	password string
	tries    int
	pause    time.Duration
	poll     time.Duration
	look     func(ident string, n *Node) // nil = nobody
	stale    func(time.Duration)         // nil = nobody
	extended bool
}

// Option changes a Client in New.
type Option func(*Client)

// WithVersion asks for another microversion: "1.N" or "latest".
func WithVersion(v string) Option { return func(c *Client) { c.version = v } }

// WithBasicAuth sends name and password with every request (auth_strategy http_basic).
func WithBasicAuth(user, password string) Option {
	return func(c *Client) { c.user, c.password = user, password }
}

// WithHTTPClient brings a client of one's own: TLS, proxies, timeouts.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithConnections keeps up to n connections open between requests; the default is 64. Not after WithHTTPClient.
func WithConnections(n int) Option { return func(c *Client) { c.http = newHTTP(n) } }

// WithRetry sends a request up to tries times in all, pause apart, while the answer is 409 or 503 or the connection is
// refused, as python-ironicclient does (6 times, 2 s). An answer that says in Retry-After when to come again is believed.
func WithRetry(tries int, pause time.Duration) Option {
	return func(c *Client) { c.tries, c.pause = max(tries, 1), pause }
}

// WithExtensions asks for what Ferrite tells of nodes beyond Ironic's API, like power_confirmed_at: RawNode and RawNodes have it.
func WithExtensions() Option { return func(c *Client) { c.extended = true } }

// WithPoll sets how long the Wait calls pause between two looks; the default is 200 ms.
func WithPoll(every time.Duration) Option { return func(c *Client) { c.poll = every } }

// WithLook tells what the Wait calls see of a node each time that they look at it. It is called by their goroutines.
func WithLook(fn func(ident string, n *Node)) Option { return func(c *Client) { c.look = fn } }

// WithStale tells of each answer that Ferrite could not confirm for want of a quorum, and for how long it could not. The calls
// do not fail for it.
func WithStale(fn func(since time.Duration)) Option { return func(c *Client) { c.stale = fn } }

// WithUserAgent names the program to the service's audit log.
func WithUserAgent(a string) Option { return func(c *Client) { c.agent = a } }

// New returns a client of the API at base, like http://127.0.0.1:6385; a /v1 at its end is taken off. It sends nothing.
// A base that is no URL is reported by the first call.
func New(base string, opts ...Option) *Client {
	c := &Client{version: DefaultVersion, agent: "ferrite-client", tries: 1, poll: defaultPoll}
	u, err := url.Parse(strings.TrimSuffix(strings.TrimRight(base, "/"), "/v1"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.baseErr = fmt.Errorf("API address: wanted http://host:port or https://host:port, found %q", base)
	}
	c.base = u
	for _, o := range opts {
		o(c)
	}
	if c.http == nil {
		c.http = newHTTP(64)
	}
	return c
}

func newHTTP(conns int) *http.Client {
	return &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		Proxy:        http.ProxyFromEnvironment,
		DialContext:  (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConns: conns, MaxIdleConnsPerHost: conns, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call sends one request, with in as its JSON body (nil = none), and decodes the answer into out (nil = not wanted).
// path is the escaped path from the root, with its query.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	if c.baseErr != nil {
		return c.baseErr
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s %s: the request cannot be encoded: %w", method, path, err)
		}
	}
	for try := 1; ; try++ {
		err := c.once(ctx, method, path, body, out)
		if err == nil || try >= c.tries || !again(err) {
			return err
		}
		pause := c.pause
		if e := (*Error)(nil); errors.As(err, &e) && e.RetryAfter > 0 {
			pause = e.RetryAfter
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// again reports whether the same request may well succeed a little later. A refused connection carried nothing.
func again(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusConflict || e.Status == http.StatusServiceUnavailable
	}
	return isRefused(err)
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, out any) error {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	q.Header.Set(headerVersion, c.version)
	if c.extended {
		q.Header.Set(headerExtensions, "1")
	}
	q.Header.Set("Accept", "application/json")
	q.Header.Set("User-Agent", c.agent)
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.user != "" {
		q.SetBasicAuth(c.user, c.password)
	}
	r, err := c.http.Do(q)
	if err != nil {
		return err // a *url.Error: it names method and URL
	}
	defer r.Body.Close()
	if seconds, err := strconv.Atoi(r.Header.Get(headerStale)); err == nil && c.stale != nil {
		c.stale(time.Duration(seconds) * time.Second)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: the answer broke off: %w", method, path, err)
	case len(b) > maxAnswer:
		return fmt.Errorf("%s %s: wanted an answer of up to %d bytes, found more", method, path, maxAnswer)
	case r.StatusCode >= http.StatusMultipleChoices:
		return readError(method, path, r, b)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: wanted JSON, found %q: %w", method, path, clip(string(b)), err)
	}
	return nil
}

// clip keeps foreign text in errors short.
func clip(s string) string {
	const most = 200
	s = strings.TrimSpace(s)
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
