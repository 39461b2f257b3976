// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// maxGrowth bounds the guess of a page's size, in bytes: one item may be far larger than the others.
const maxGrowth = 8 << 20

// pageArgs are the query arguments of every list.
var pageArgs = []string{"limit", "marker", "sort_key", "sort_dir"}

// listing is one list: where its items come from and how they are shown.
type listing[T any] struct {
	table    *wire.Table[T]
	envelope string // "nodes"
	of       string // UUID of the node whose list it is, "" = of none
	whole    bool   // a /detail path: all fields, always
	since    int    // minimum minor of ?fields=, 0 = there is no such argument
	noNext   bool   // never paged on
	changing bool   // items may change or go between two pages

	// walk gives the items in order of creation, starting behind after (nil = from the start).
	walk func(after *T, fn func(*T) bool)
	// older is the order of creation.
	older func(a, b *T) int
	// find looks a marker up.
	find func(marker string) (*T, error)
	// id is the marker that stands for an item.
	id func(*T) string
	// keep says which items are wanted; nil = all.
	keep []func(*T) bool
	// more takes the fields beyond Ironic's out of the names that a request gives (nil = none); nil = there are none.
	more func(names []string) ([]*wire.Field[T], []string)
	// ask learns from others what they know of the items of a page, if the fields want it; nil = nothing.
	ask func(r *request, items []*T, fields []*wire.Field[T])
	// show changes an item for the short view; nil = as it is.
	show func(*T) *T
}

// paging is what a request asked of a list.
type paging[T any] struct {
	fields  []*wire.Field[T]
	named   bool   // fields are spelled out in next: ?fields= or the short list
	detail  string // "True" or "False" when given
	limit   int
	after   *T
	sortKey string
	compare func(a, b *T) int // nil = order of creation
	desc    bool
}

// paging reads the page and field arguments of the query.
func (l *listing[T]) paging(r *request) (paging[T], error) {
	p := paging[T]{limit: int(r.s.maxPage.Load()), sortKey: "id"}
	if text, ok := r.arg("limit"); ok && text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return p, invalid("Expected an integer but received %s for limit", text)
		}
		if n <= 0 {
			return p, invalid("Limit must be positive")
		}
		p.limit = min(n, p.limit)
	}
	if key, ok := r.arg("sort_key"); ok && key != "" && key != "id" {
		var err error
		if p.compare, err = l.table.SortBy(key, r.minor()); err != nil {
			return p, err
		}
		p.sortKey = key
	}
	switch dir, ok := r.arg("sort_dir"); {
	case ok && dir == "desc":
		p.desc = true
	case ok && dir != "asc" && dir != "":
		return p, invalid("Invalid sort direction: %s. Acceptable values are 'asc' or 'desc'", dir)
	}
	if marker, ok := r.arg("marker"); ok && marker != "" {
		var err error
		if p.after, _ = r.s.markers.find(markerKey(l.envelope+l.of, p.sortKey, strings.ToLower(marker))).(*T); p.after == nil {
			p.after, err = l.find(marker)
		}
		if err != nil {
			return p, err
		}
	}
	return p, l.fields(r, &p)
}

// fields reads ?fields= and ?detail=.
func (l *listing[T]) fields(r *request, p *paging[T]) error {
	names, err := r.fields(l.since)
	if err != nil {
		return err
	}
	detail, given := r.arg("detail")
	whole := l.whole
	if given {
		if r.minor() < 43 {
			return invalid("Invalid value for detail: ?detail= is allowed from 1.43 on")
		}
		if whole, err = wire.ParseBool("detail", detail); err != nil {
			return err
		}
		if whole && names != nil {
			return invalid("Can not specify ?detail=True and fields in the same request.")
		}
		p.detail = map[bool]string{true: "True", false: "False"}[whole]
	}
	var more []*wire.Field[T]
	if l.more != nil && (whole || names != nil) {
		more, names = l.more(names)
	}
	switch {
	case whole:
		p.fields = l.table.Detail(r.minor())
	case names != nil:
		p.named = true
		p.fields, err = l.table.Select(names, r.minor())
	default:
		p.named = true
		p.fields = l.table.Short(r.minor())
	}
	if len(more) > 0 {
		p.fields = slices.Concat(p.fields, more)
	}
	return err
}

// fields are the names of ?fields=; nil when it is not there, empty when it names nothing.
func (r *request) fields(since int) ([]string, error) {
	if _, ok := r.arg("fields"); !ok {
		return nil, nil
	}
	if r.minor() < since {
		return nil, tooNew("fields", since)
	}
	names := wire.ParseFields(r.args("fields"))
	if names == nil {
		names = []string{}
	}
	return names, nil
}

// answer writes the page.
func (l *listing[T]) answer(r *request) error {
	p, err := l.paging(r)
	if err != nil {
		return err
	}
	items := l.collect(&p)
	if l.ask != nil {
		l.ask(r, items, p.fields)
	}
	b := append(append(append(r.buffer(), `{"`...), l.envelope...), `":[`...)
	for i, x := range items {
		if i == 1 { // one growth instead of many: the others are about as long as the first
			b = slices.Grow(b, min(len(b)*len(items)*9/8, maxGrowth))
		}
		if i > 0 {
			b = append(b, ',')
		}
		if l.show != nil && p.named {
			x = l.show(x)
		}
		b = l.table.Append(b, &r.view, x, p.fields)
	}
	b = append(b, ']')
	if len(items) == p.limit && !l.noNext {
		if last := items[len(items)-1]; l.changing {
			r.s.markers.keep(markerKey(l.envelope+l.of, p.sortKey, l.id(last)), last)
		}
		b = wire.AppendString(append(b, `,"next":`...), l.next(r, &p, l.id(items[len(items)-1])))
	}
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

func (l *listing[T]) kept(x *T) bool {
	for _, keep := range l.keep {
		if !keep(x) {
			return false
		}
	}
	return true
}

// collect gives the page's items. In order of creation it walks no further than needed; else it sorts all of them.
func (l *listing[T]) collect(p *paging[T]) []*T {
	if p.compare == nil && !p.desc {
		items := make([]*T, 0, min(p.limit, 1024))
		l.walk(p.after, func(x *T) bool {
			if l.kept(x) {
				items = append(items, x)
			}
			return len(items) < p.limit
		})
		return items
	}
	order := func(a, b *T) int {
		c := 0
		if p.compare != nil {
			c = p.compare(a, b)
		}
		if c == 0 {
			c = l.older(a, b)
		}
		if p.desc {
			return -c
		}
		return c
	}
	var items []*T
	l.walk(nil, func(x *T) bool {
		if l.kept(x) && (p.after == nil || order(x, p.after) > 0) {
			items = append(items, x)
		}
		return true
	})
	slices.SortFunc(items, order)
	return items[:min(len(items), p.limit)]
}

// next is the URL of the page behind this one. It keeps every filter, which Ironic's own does not.
func (l *listing[T]) next(r *request, p *paging[T], marker string) string {
	segs, _ := split(r.path())
	if len(segs) > 0 && segs[0] == "v1" {
		segs = segs[1:]
	}
	var b strings.Builder
	b.WriteString(r.base + "/v1/" + strings.Join(segs, "/") + "?sort_key=" + p.sortKey + "&sort_dir=")
	b.WriteString(map[bool]string{false: "asc", true: "desc"}[p.desc])
	if p.named && l.since > 0 {
		b.WriteString("&fields=" + strings.Join(l.table.Names(p.fields), ","))
	}
	if p.detail != "" {
		b.WriteString("&detail=" + p.detail)
	}
	for _, a := range r.query {
		if a.key != "fields" && a.key != "detail" && !slices.Contains(pageArgs, a.key) {
			b.WriteString("&" + url.QueryEscape(a.key) + "=" + url.QueryEscape(a.value))
		}
	}
	b.WriteString("&limit=" + strconv.Itoa(p.limit) + "&marker=" + url.QueryEscape(marker))
	return b.String()
}

// byCreation orders records as they were created.
func byCreation(ca node.Rev, ida string, cb node.Rev, idb string) int {
	switch {
	case ca < cb:
		return -1
	case ca > cb:
		return 1
	default:
		return strings.Compare(ida, idb)
	}
}
