// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ferrite/node"
	"ferrite/persistence"
)

func TestHistoryIsTrimmed(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.History = HistoryLimit{Keep: 5, Batch: 3, Every: time.Hour}
		c.Wanted = func(n *node.Node) bool { return n.ConductorGroup == "" }
		c.Policy.Groups = []string{"", "elsewhere"}
	})
	mine, short := w.create(nil), w.create(nil)
	other := w.create(func(n *node.Node) { n.ConductorGroup = "elsewhere" })
	write := func(id string, entries int) {
		n, _ := w.store.Node(id)
		tx := persistence.Tx{If: []persistence.Cond{{Key: persistence.Key{Kind: persistence.KindNode, ID: id}, Rev: n.Rev}}}
		for i := range entries {
			h := node.Entry{UUID: fmt.Sprint(i), Node: id, CreatedAt: time.Unix(int64(1000+i), 0).UTC()}
			key := persistence.Key{Kind: persistence.KindHistory, ID: fmt.Sprintf("%s/%020d-%s", id, h.CreatedAt.UnixNano(), h.UUID)}
			tx.Put = append(tx.Put, persistence.Put{Key: key, Value: &h})
		}
		if _, err := w.store.Commit(context.Background(), tx); err != nil {
			t.Fatal(err)
		}
	}
	left := func(id string) (out []string) {
		w.store.Scan(persistence.KindHistory, id+"/", func(r persistence.Record) bool {
			out = append(out, r.Value.(*node.Entry).UUID)
			return true
		})
		return out
	}
	write(mine, 16)
	write(short, 5)
	write(other, 9)
	gone, err := w.f.TrimHistory(context.Background())
	if err != nil || gone != 11 {
		t.Errorf("%d entries deleted, %v; wanted 11", gone, err)
	}
	if got := fmt.Sprint(left(mine)); got != "[11 12 13 14 15]" {
		t.Errorf("left %s, wanted the newest 5", got)
	}
	if len(left(short)) != 5 || len(left(other)) != 9 {
		t.Errorf("left %d and %d, wanted 5 within the limit and 9 of another conductor", len(left(short)), len(left(other)))
	}
}
