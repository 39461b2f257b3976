// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// request is one request being answered; owned by its connection's goroutine and pooled.
type request struct {
	s       *Server
	ctx     *fasthttp.RequestCtx
	route   *route
	params  []string // of the route's pattern, in order
	version wire.Version
	view    wire.View
	id      string  // "req-UUID", of the answer
	global  string  // the caller's own id of what it does, else id: what becomes of the request bears it
	user    string  // who signed in, "" = nobody
	node    string  // UUID of the node that the request is about, for the audit line
	base    string  // "http://host:6385"
	query   []pair  // decoded, in order; read by parseQuery
	conn    *conn   // nil in tests without one
	body    []byte  // what the body is read into
	working *places // where it holds a place, nil = nowhere
	bulk    bool    // it holds one of those for bulk too
}

type pair struct{ key, value string }

func (r *request) minor() int     { return r.version.Minor }
func (r *request) method() string { return string(r.ctx.Method()) }
func (r *request) path() string   { return string(r.ctx.URI().PathOriginal()) }

// param is the i-th variable of the route's path.
func (r *request) param(i int) string { return r.params[i] }

// parseQuery decodes the query once.
func (r *request) parseQuery() {
	r.query = r.query[:0]
	for k, v := range r.ctx.QueryArgs().All() {
		r.query = append(r.query, pair{string(k), string(v)})
	}
}

// readable reports whether the decoded path and query are UTF-8: answers repeat parts of them.
func (r *request) readable(segs []string) bool {
	for _, s := range segs {
		if !utf8.ValidString(s) {
			return false
		}
	}
	for _, p := range r.query {
		if !utf8.ValidString(p.key) || !utf8.ValidString(p.value) {
			return false
		}
	}
	return true
}

// arg is a query argument's last value.
func (r *request) arg(name string) (string, bool) {
	for i := len(r.query) - 1; i >= 0; i-- {
		if r.query[i].key == name {
			return r.query[i].value, true
		}
	}
	return "", false
}

// args are all values of a query argument.
func (r *request) args(name string) []string {
	var out []string
	for _, p := range r.query {
		if p.key == name {
			out = append(out, p.value)
		}
	}
	return out
}

// allow refuses query arguments that the endpoint does not know.
func (r *request) allow(names ...string) error {
	var unknown []string
	for _, p := range r.query {
		if !slices.Contains(names, p.key) && !slices.Contains(unknown, p.key) {
			unknown = append(unknown, p.key)
		}
	}
	return unexpected(unknown)
}

func unexpected(names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return invalid("Unexpected arguments: %s", strings.Join(names, ", "))
}

// arguments are query arguments and the members of the JSON body in one namespace, as PUT states and the like have them.
func (r *request) arguments(names ...string) (map[string]any, error) {
	out := map[string]any{}
	for _, p := range r.query {
		out[p.key] = p.value
	}
	if body := r.ctx.PostBody(); len(body) > 0 {
		m, err := wire.DecodeObject(body)
		if err != nil {
			return nil, err
		}
		for k, v := range m {
			out[k] = v
		}
	}
	var unknown []string
	for k := range out {
		if !slices.Contains(names, k) {
			unknown = append(unknown, k)
		}
	}
	return out, unexpected(unknown)
}

// needed is an argument that must be there.
func needed(args map[string]any, name string) (any, error) {
	v, ok := args[name]
	if !ok {
		return nil, invalid("Missing mandatory parameter: %s", name)
	}
	return v, nil
}

// neededString is a string argument that must be there.
func neededString(args map[string]any, name string) (string, error) {
	v, err := needed(args, name)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", invalid("Invalid %s: wanted a string, found %v", name, v)
	}
	return s, nil
}

// do hands a message to the owner of a node.
func (r *request) do(nodeUUID string, m node.Msg) (any, error) {
	r.node = nodeUUID
	r.tell(asked(m)...)
	r.leave()
	ctx, cancel := context.WithTimeout(context.Background(), r.s.cfg.CommandWait)
	defer cancel()
	return r.s.cfg.Commands.Do(ctx, nodeUUID, node.Meta{By: r.user, RequestID: r.global, Minor: r.minor(), Rank: r.rank()}, m)
}

// header sets a response header, spelled as given.
func (r *request) header(name, value string) {
	r.ctx.Response.Header.SetCanonical([]byte(name), []byte(value))
}

// buffer is the response's own buffer, to append to and hand to json.
func (r *request) buffer() []byte { return r.ctx.Response.SwapBody(nil)[:0] }

// json answers with a body.
func (r *request) json(status int, body []byte) {
	r.ctx.Response.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.Response.SwapBody(body)
}

// empty answers without body and content type.
func (r *request) empty(status int) {
	r.ctx.Response.ResetBody()
	r.ctx.Response.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("")
}

// accepted is 202 with a Location.
func (r *request) accepted(path string) {
	r.empty(fasthttp.StatusAccepted)
	r.location(path)
}

// location sets an absolute URL below the base.
func (r *request) location(path string) { r.header("Location", r.base+path) }

// etag tells the node's version (a Ferrite extension): it counts outer changes (P7).
func (r *request) etag(n *node.Node) { r.header("ETag", etagOf(n)) }

func etagOf(n *node.Node) string { return `"` + strconv.FormatUint(n.Outer, 10) + `"` }

// callersID is the request's X-Openstack-Request-Id, by which a caller follows what it does through several services
// (oslo.middleware); anything else than "req-UUID" is passed over for our own id.
func callersID(h *fasthttp.RequestHeader, own string) string {
	b := h.Peek("X-Openstack-Request-Id")
	if len(b) != len("req-")+36 || string(b[:4]) != "req-" {
		return own
	}
	for i, c := range b[4:] {
		switch dash := i == 8 || i == 13 || i == 18 || i == 23; {
		case dash && c != '-', !dash && (c < '0' || c > '9' && c < 'a' || c > 'f'):
			return own
		}
	}
	return string(b)
}
