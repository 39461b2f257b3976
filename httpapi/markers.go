// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"sync"
	"time"
)

// Bounds of what a server remembers of lists that somebody may be paging through.
const (
	maxMarkers = 1024
	markerLife = 10 * time.Minute
)

// markers remembers the last item of each page that has a next one, as it was then. A marker that is deleted or changed
// before the next page is asked for still names its place, so that nobody else in the list is left out or seen twice.
// Only the server that made the page remembers; elsewhere the item as it is now counts.
type markers struct {
	mu   sync.Mutex // guards below
	at   map[string]int
	ring [maxMarkers]marker
	next int
}

type marker struct {
	key  string
	item any
	made time.Time
}

// keep remembers an item under a list and its order.
func (m *markers) keep(key string, item any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = make(map[string]int, maxMarkers)
	}
	i, known := m.at[key]
	if !known {
		i = m.next
		m.next = (m.next + 1) % maxMarkers
		delete(m.at, m.ring[i].key)
		m.at[key] = i
	}
	m.ring[i] = marker{key, item, time.Now()}
}

// find gives the item, nil = not remembered.
func (m *markers) find(key string) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.at[key]
	if !ok || time.Since(m.ring[i].made) > markerLife {
		return nil
	}
	return m.ring[i].item
}

// markerKey tells lists, orders and items apart.
func markerKey(envelope, sortKey, id string) string { return envelope + " " + sortKey + " " + id }
