// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"sync"

	"ferrite/node"
)

// line is the machines that a round of sensor readings has yet to read, by the network that their BMCs are in. Whoever is free
// goes where the fewest are: a rack whose BMCs have all just died, each of which holds its reader for seconds, does not keep
// the others waiting.
type line struct {
	mu   sync.Mutex // guards below
	nets []*lane    // in the order of their oldest readings
	left int
}

// lane is the machines of one network, those whose last reading is the oldest first.
type lane struct {
	nodes []*node.Node
	busy  int // readers that are there
	lost  int // readings in a row that failed: they count as readers
}

// newLine takes machines in the order in which they should be read; net names the network of each.
func newLine(due []*node.Node, net func(*node.Node) string) *line {
	l := &line{left: len(due)}
	by := map[string]*lane{}
	for _, n := range due {
		name := net(n)
		if by[name] == nil {
			by[name] = &lane{}
			l.nets = append(l.nets, by[name])
		}
		by[name].nodes = append(by[name].nodes, n)
	}
	return l
}

// take is the next machine and its network, which is given back to done; nil = there is none left.
func (l *line) take() (*node.Node, *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var best *lane
	for _, a := range l.nets {
		if len(a.nodes) > 0 && (best == nil || a.busy+a.lost < best.busy+best.lost) {
			best = a
		}
	}
	if best == nil {
		return nil, nil
	}
	n := best.nodes[0]
	best.nodes = best.nodes[1:]
	best.busy++
	l.left--
	return n, best
}

// done notes that a machine was read, or could not be.
func (l *line) done(a *lane, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.busy--
	if a.lost++; ok {
		a.lost = 0
	}
}
