// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Query says what a list shall hold. The zero value is the short list of everything.
type Query struct {
	Detail   bool              // all fields
	Fields   []string          // these fields only, by wire name; not together with Detail
	PageSize int               // nodes a page, 0 = what the service likes best
	Sort     string            // sort_key
	Desc     bool              // the other way round
	Filter   map[string]string // as in the URL: {"provision_state": "available"}
}

func (q Query) encode() string {
	v := url.Values{}
	for k, s := range q.Filter {
		v.Set(k, s)
	}
	if len(q.Fields) > 0 {
		v.Set("fields", strings.Join(q.Fields, ","))
	}
	if q.PageSize > 0 {
		v.Set("limit", strconv.Itoa(q.PageSize))
	}
	if q.Sort != "" {
		v.Set("sort_key", q.Sort)
	}
	if q.Desc {
		v.Set("sort_dir", "desc")
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// Nodes yields the nodes of all pages, fetching each page when it is needed. It ends after the first error.
func (c *Client) Nodes(ctx context.Context, q Query) iter.Seq2[*Node, error] {
	path := "/v1/nodes"
	if q.Detail {
		path += "/detail"
	}
	return pages[Node](ctx, c, path+q.encode(), "nodes")
}

// ListNodes is all of Nodes as a slice.
func (c *Client) ListNodes(ctx context.Context, q Query) ([]*Node, error) {
	return collect(c.Nodes(ctx, q))
}

// pages walks a list along its next links. The host in a link is thrown away, as python-ironicclient does: behind a
// proxy it need not be reachable.
func pages[T any](ctx context.Context, c *Client, path, key string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		seen := map[string]bool{}
		for path != "" {
			if seen[path] {
				yield(nil, fmt.Errorf("GET %s: the next links of the list go in a circle", path))
				return
			}
			seen[path] = true
			var page map[string]json.RawMessage
			if err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
				yield(nil, err)
				return
			}
			var items []*T
			if err := json.Unmarshal(page[key], &items); err != nil {
				yield(nil, fmt.Errorf("GET %s: wanted a list %q in the answer: %w", path, key, err))
				return
			}
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			next, err := nextPath(page["next"])
			if err != nil {
				yield(nil, fmt.Errorf("GET %s: %w", path, err))
				return
			}
			path = next
		}
	}
}

// nextPath is path and query of a next link, "" = no further page.
func nextPath(raw json.RawMessage) (string, error) {
	var link string
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if err := json.Unmarshal(raw, &link); err != nil {
		return "", fmt.Errorf("wanted a link as next, found %s: %w", clip(string(raw)), err)
	}
	u, err := url.Parse(link)
	if err != nil {
		return "", fmt.Errorf("wanted a link as next, found %q: %w", clip(link), err)
	}
	return u.RequestURI(), nil
}

func collect[T any](seq iter.Seq2[*T, error]) ([]*T, error) {
	var all []*T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}
