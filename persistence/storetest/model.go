// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ferrite/node"
	"ferrite/persistence"
)

// model is the slow, obvious store: a map.
type model struct {
	recs   map[persistence.Key]modelRec
	events []string
}

type modelRec struct {
	rev, created node.Rev
	name         string
}

// apply says what a transaction must answer, and changes the model when that is success. rev is what the store gave.
func (m *model) apply(tx persistence.Tx, rev node.Rev) (conflict *persistence.Key, notUnique string) {
	for _, c := range tx.If {
		if m.recs[c.Key].rev != c.Rev {
			return &c.Key, ""
		}
	}
	next := make(map[persistence.Key]modelRec)
	for k, r := range m.recs {
		next[k] = r
	}
	for _, k := range tx.Del {
		delete(next, k)
	}
	for _, p := range tx.DelPrefix {
		for k := range m.recs {
			if k.Kind == p.Kind && strings.HasPrefix(k.ID, p.ID) {
				delete(next, k)
			}
		}
	}
	names := map[string]bool{}
	for _, p := range tx.Put {
		r := modelRec{rev: rev, created: rev}
		if old, ok := next[p.Key]; ok {
			r.created = old.created
		}
		if len(p.Uniq) > 0 {
			r.name = p.Uniq[0]
		}
		next[p.Key] = r
	}
	for _, r := range next {
		if r.name != "" && names[r.name] {
			return nil, r.name
		}
		names[r.name] = true
	}
	m.recs = next
	for i, e := range tx.Events {
		m.events = append(m.events, fmt.Sprintf("%d.%d %s", rev, i, e.Subject))
	}
	return nil, ""
}

func testModel(t *testing.T, s *suite) {
	_ = s.s.Close()
	rapid.Check(t, func(rt *rapid.T) {
		one := newSuite(t, s.open)
		defer one.s.Close()
		m := &model{recs: map[persistence.Key]modelRec{}}
		start := one.s.Applied()
		w := one.s.Watch(one.ctx, start)
		defer w.Close()
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			tx := drawTx(rt, m)
			rev, err := one.s.Commit(one.ctx, tx)
			compare(rt, m, tx, rev, err)
		}
		same(rt, one, m)
	})
}

func drawTx(rt *rapid.T, m *model) persistence.Tx {
	var tx persistence.Tx
	keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 7), 1, 4, rapid.ID).Draw(rt, "records")
	for _, i := range keys {
		k := modelKey(i)
		rev := m.recs[k].rev
		if rapid.IntRange(0, 9).Draw(rt, "stale") == 0 {
			rev++
		}
		tx.If = append(tx.If, persistence.Cond{Key: k, Rev: rev})
		switch rapid.IntRange(0, 5).Draw(rt, "what") {
		case 0:
			tx.Del = append(tx.Del, k)
		case 1: // only looked at
		case 2:
			tx.DelPrefix = append(tx.DelPrefix, persistence.Key{Kind: k.Kind, ID: k.ID[:len(k.ID)-1]})
		default:
			tx.Put = append(tx.Put, drawPut(rt, i, k))
		}
	}
	for range rapid.IntRange(0, 2).Draw(rt, "events") {
		tx.Events = append(tx.Events, event(rapid.IntRange(0, 9).Draw(rt, "event")))
	}
	return tx
}

// modelKey spreads the records over kinds in memory and the one on disk.
func modelKey(i int) persistence.Key {
	switch i % 4 {
	case 0, 1:
		return nodeKey(i)
	case 2:
		return settingKey(fmt.Sprintf("s%d", i))
	default:
		return persistence.Key{Kind: persistence.KindHistory, ID: fmt.Sprintf("h/%d", i)}
	}
}

func drawPut(rt *rapid.T, i int, k persistence.Key) persistence.Put {
	name := rapid.SampledFrom([]string{"", "name/a", "name/b"}).Draw(rt, "name")
	p := persistence.Put{Key: k, Value: []byte(name)}
	switch k.Kind {
	case persistence.KindNode:
		p.Value = &node.Node{UUID: uuid(i), Name: name}
	case persistence.KindHistory:
		p.Value = &node.Entry{Event: name}
		return p
	}
	if name != "" {
		p.Uniq = []string{name}
	}
	return p
}

func compare(rt *rapid.T, m *model, tx persistence.Tx, rev node.Rev, err error) {
	before := m.recs
	conflict, taken := m.apply(tx, rev)
	var c *persistence.Conflict
	var nu *persistence.NotUnique
	switch {
	case conflict != nil:
		if !errors.As(err, &c) || c.Cur.Key != *conflict || c.Cur.Rev != before[*conflict].rev {
			rt.Fatalf("%v, wanted a conflict on %v at %d", err, *conflict, before[*conflict].rev)
		}
	case taken != "":
		if !errors.As(err, &nu) || !strings.HasPrefix(nu.Uniq, "name/") {
			rt.Fatalf("%v, wanted NotUnique %s", err, taken)
		}
	case err != nil:
		rt.Fatalf("%v, wanted success of %+v", err, tx)
	}
}

// same compares all that can be read with the model.
func same(rt *rapid.T, s *suite, m *model) {
	count := map[persistence.Kind]int{}
	for i := range 8 {
		k := modelKey(i)
		r, ok := s.s.Get(k)
		want, exists := m.recs[k]
		if ok != exists || r.Rev != want.rev || r.Created != want.created {
			rt.Fatalf("%v is at %d, created %d; wanted %d, %d", k, r.Rev, r.Created, want.rev, want.created)
		}
		if exists {
			count[k.Kind]++
		}
		if want.name != "" {
			if h, ok := s.s.Holder(want.name); !ok || h != k {
				rt.Fatalf("%s is held by %v, wanted %v", want.name, h, k)
			}
		}
	}
	for _, k := range []persistence.Kind{persistence.KindNode, persistence.KindSetting, persistence.KindHistory} {
		seen := 0
		s.s.Scan(k, "", func(persistence.Record) bool { seen++; return true })
		if s.s.Len(k) != count[k] || seen != count[k] {
			rt.Fatalf("kind %d: Len %d, Scan %d, wanted %d", k, s.s.Len(k), seen, count[k])
		}
	}
	seen := 0
	s.s.Nodes(nil, func(*node.Node) bool { seen++; return true })
	if seen != count[persistence.KindNode] {
		rt.Fatalf("Nodes walks %d, wanted %d", seen, count[persistence.KindNode])
	}
	var events []string
	for _, o := range s.drain() {
		events = append(events, fmt.Sprintf("%d.%d %s", o.Rev, o.Index, o.Subject))
	}
	if !slices.Equal(events, m.events) {
		rt.Fatalf("outbox %v, wanted %v", events, m.events)
	}
}
