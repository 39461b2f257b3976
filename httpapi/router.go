// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ferrite/node"
)

// hidden says what a request of an older microversion than the route's is told.
type hidden int

const (
	gone       hidden = iota // 404 form B
	gonePlain                // 404 form A, "Resource could not be found."
	notAllowed               // 405 form B
	notMine                  // 406 form A
)

// route is one thing that the API can be asked.
type route struct {
	method  string
	path    string // "/nodes/{node}/states/power", below /v1
	since   int    // minimum minor
	old     hidden // what older requests are told
	oldText string // with gone: the description
	handle  func(r *request) error
	noHost  int       // status of node.NoHost, 0 = 404
	asks    bool      // Ironic asks the node's conductor before anything else: without one the request is refused
	local   bool      // needs no read index: it tells nothing of the store
	rank    node.Rank // who goes first when more is asked than can be done
}

// name is what metrics call the route.
func (t *route) name() string { return t.method + " /v1" + t.path }

// branch is a node of the router's tree: one path segment.
type branch struct {
	literal map[string]*branch
	param   *branch
	methods map[string]*route
	allow   string // of 405
}

// newRouter builds the tree from the table. A pattern given twice is a defect.
func newRouter(routes []route) *branch {
	root := &branch{}
	for i := range routes {
		t := &routes[i]
		b := root
		for _, seg := range segments(t.path) {
			b = b.child(seg)
		}
		if b.methods == nil {
			b.methods = map[string]*route{}
		}
		if b.methods[t.method] != nil {
			panic(fmt.Sprintf("route %s %s is in the table twice", t.method, t.path))
		}
		b.methods[t.method] = t
	}
	root.finish()
	return root
}

func (b *branch) child(seg string) *branch {
	if strings.HasPrefix(seg, "{") {
		if b.param == nil {
			b.param = &branch{}
		}
		return b.param
	}
	if b.literal == nil {
		b.literal = map[string]*branch{}
	}
	if b.literal[seg] == nil {
		b.literal[seg] = &branch{}
	}
	return b.literal[seg]
}

// finish computes the Allow headers.
func (b *branch) finish() {
	var methods []string
	for m := range b.methods {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	b.allow = strings.Join(methods, ", ")
	for _, c := range b.literal {
		c.finish()
	}
	if b.param != nil {
		b.param.finish()
	}
}

// find walks the path's segments; a literal goes before a variable. Variables are appended to params.
func (b *branch) find(segs []string, params []string) (*branch, []string) {
	if len(segs) == 0 {
		if b.methods == nil {
			return nil, nil
		}
		return b, params
	}
	if c := b.literal[segs[0]]; c != nil {
		if found, p := c.find(segs[1:], params); found != nil {
			return found, p
		}
	}
	if b.param != nil && segs[0] != "" {
		return b.param.find(segs[1:], append(params, segs[0]))
	}
	return nil, nil
}

// segments splits a path: "/nodes/x" is [nodes x], "/" is [].
func segments(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// split takes a request's path apart: one trailing slash is ignored, /v1 may be left out, escapes are decoded. ok is
// false when an escape is broken.
func split(path string) (segs []string, ok bool) {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	segs = segments(path)
	for i, s := range segs {
		if strings.IndexByte(s, '%') < 0 {
			continue
		}
		d, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segs[i] = d
	}
	return segs, true
}

// match finds the route of a request; form B says why there is none.
func (s *Server) match(r *request, segs []string) (*route, error) {
	b, params := s.router.find(segs, r.params[:0])
	if b == nil {
		return nil, &routing{status: http.StatusNotFound}
	}
	r.params = params
	t := b.methods[r.method()]
	if t == nil {
		return nil, &routing{status: http.StatusMethodNotAllowed, allow: b.allow}
	}
	if t.since <= r.minor() {
		return t, nil
	}
	switch t.old {
	case gonePlain:
		return nil, &plainError{status: http.StatusNotFound, text: "Resource could not be found."}
	case notAllowed:
		return nil, &routing{status: http.StatusMethodNotAllowed, allow: b.allow}
	case notMine:
		return nil, tooNew(t.path, t.since)
	default:
		return nil, &routing{status: http.StatusNotFound, text: t.oldText}
	}
}
