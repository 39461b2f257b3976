// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"fmt"
	"strings"
	"testing"

	"ferrite/node"
)

// A rack whose BMCs do not answer gets one reader of four, and the others when nobody else waits.
func TestADeadRackHoldsFewReaders(t *testing.T) {
	var due []*node.Node
	for i := range 20 {
		due = append(due, &node.Node{UUID: fmt.Sprintf("dead-%d", i)}) // they come first: they were never read
	}
	for i := range 20 {
		due = append(due, &node.Node{UUID: fmt.Sprintf("good-%d", i)})
	}
	l := newLine(due, func(n *node.Node) string { return n.UUID[:4] })
	type reader struct {
		n  *node.Node
		at *lane
	}
	var stuck []reader // readers at dead BMCs, for ten turns each
	read, turns := 0, 0
	for ; read < 20; turns++ {
		if turns > 100 {
			t.Fatalf("%d machines were read in 100 turns: wanted all 20", read)
		}
		if turns%10 == 9 {
			for _, r := range stuck {
				l.done(r.at, false)
			}
			stuck = nil
		}
		for range 4 - len(stuck) {
			n, at := l.take()
			if strings.HasPrefix(n.UUID, "dead") {
				stuck = append(stuck, reader{n, at})
				continue
			}
			if n.UUID != fmt.Sprintf("good-%d", read) {
				t.Fatalf("%s was taken: wanted good-%d", n.UUID, read)
			}
			l.done(at, true)
			read++
		}
		if len(stuck) > 2 {
			t.Fatalf("%d readers of 4 are at the dead rack while others wait", len(stuck))
		}
	}
	if turns > 15 {
		t.Errorf("20 machines took %d turns of 4 readers", turns)
	}
	left := 0
	for n, _ := l.take(); n != nil; n, _ = l.take() {
		left++
	}
	if left+len(stuck) < 15 || l.left != 0 {
		t.Errorf("%d of the dead rack were left for the end: wanted most", left)
	}
}
