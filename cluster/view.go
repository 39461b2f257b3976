// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Member is a conductor as it describes itself.
type Member struct {
	Name        string `json:"n"`           // stable: a restarted conductor gets its old share back
	Incarnation uint64 `json:"i,omitempty"` // random per process start (S1)
	Group       string `json:"g,omitempty"` // conductor_group that it serves
	Draining    bool   `json:"d,omitempty"` // gets nothing new and hands over what it has
	Cordoned    bool   `json:"c,omitempty"` // gets nothing new and keeps what it has
	Cut         bool   `json:"x,omitempty"` // has no contact to the log's leader: what it holds may be claimed (S7)
	Joining     bool   `json:"j,omitempty"` // is not part of the log yet, or takes no requests yet: it owns nothing
	Fresh       bool   `json:"f,omitempty"` // its data folder has no log yet
	Expect      int    `json:"e,omitempty"` // members it waits for before a new log begins
	Gossip      string `json:"-"`           // where it gossips, host:port; as seen, not as said
	API         string `json:"a,omitempty"` // URL of its API
	Raft        string `json:"r,omitempty"` // address of its log
	Remote      string `json:"m,omitempty"` // address for calls from other members
	NATS        string `json:"b,omitempty"` // address for routes between the NATS servers inside
	Version     string `json:"v,omitempty"` // of its binary
	Cluster     string `json:"z,omitempty"` // beginning of the id of its log, "" = has none yet
}

// View is what one member saw at one moment. It never changes.
type View struct {
	Seq     uint64   // grows with every change that this member saw
	Members []Member // by name
	seeds   []uint64 // hash of each name
}

// NewView makes a View of members; of two with one name the later counts.
func NewView(seq uint64, members []Member) *View {
	by := make(map[string]Member, len(members))
	for _, m := range members {
		by[m.Name] = m
	}
	v := &View{Seq: seq}
	for _, m := range by {
		v.Members = append(v.Members, m)
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range v.Members {
		v.seeds = append(v.seeds, mix(xxhash.Sum64String(m.Name)))
	}
	return v
}

// Owner is who should own a key among the members of a group: the one whose name and the key hash highest. Draining
// members own nothing, nor do joining ones. false = the group has nobody.
func (v *View) Owner(key, group string) (Member, bool) {
	h := xxhash.Sum64String(key)
	best, at := uint64(0), -1
	for i := range v.Members {
		m := &v.Members[i]
		if m.Joining || m.Draining || m.Cordoned || m.Cut || m.Group != group {
			continue
		}
		if w := mix(h ^ v.seeds[i]); at < 0 || w > best { // equal: the first name, on every member
			best, at = w, i
		}
	}
	if at < 0 {
		return Member{}, false
	}
	return v.Members[at], true
}

// Find is the member of a name.
func (v *View) Find(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, name, func(m Member, name string) int { return strings.Compare(m.Name, name) })
	if !ok {
		return Member{}, false
	}
	return v.Members[i], true
}

// Lives reports whether a process of this name and incarnation is a member: only a living owner keeps its operations (S4).
func (v *View) Lives(name string, incarnation uint64) bool {
	m, ok := v.Find(name)
	return ok && m.Incarnation == incarnation
}

// mix spreads every bit of x over all others (the finisher of SplitMix64), so that names and keys that differ little
// place evenly.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
