// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
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
	Kept        string `json:"k,omitempty"` // of a cordoned one: what it has, in the words of View.Hold
	Cut         bool   `json:"x,omitempty"` // has no contact to the log's leader: what it holds may be claimed (S7)
	Full        bool   `json:"u,omitempty"` // its disk is nearly full: it refuses changes of its nodes
	Joining     bool   `json:"j,omitempty"` // is not part of the log yet, or takes no requests yet: it owns nothing
	Fresh       bool   `json:"f,omitempty"` // its data folder has no log yet
	Expect      int    `json:"e,omitempty"` // members it waits for before a new log begins
	Gossip      string `json:"-"`           // where it gossips, host:port; as seen, not as said
	API         string `json:"a,omitempty"` // URL of its API
	Raft        string `json:"r,omitempty"` // address of its log
	Remote      string `json:"m,omitempty"` // address for calls from other members
	NATS        string `json:"b,omitempty"` // address for routes between the NATS servers inside
	Version     string `json:"v,omitempty"` // of its binary
	Keys        string `json:"q,omitempty"` // short ids of the keys that it hears, with commas between; "" = an old version
	Settings    string `json:"s,omitempty"` // hash of its settings that all must have alike; "" = an old version
	Cluster     string `json:"z,omitempty"` // beginning of the id of its log, "" = has none yet
}

// View is what one member saw at one moment. It never changes.
type View struct {
	Seq     uint64   // grows with every change that this member saw
	Members []Member // by name
	seeds   []uint64 // hash of each name
	held    []share  // of the cordoned members, oldest first
}

// share is what a cordoned member keeps.
type share struct {
	member int    // index
	at     uint64 // what is younger goes elsewhere
	others []uint64
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
	for i, m := range v.Members {
		if h, ok := heldBy(i, m); ok {
			v.held = append(v.held, h)
		}
	}
	slices.SortStableFunc(v.held, func(a, b share) int { // the later one found fewer that take
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(len(b.others), len(a.others)))
	})
	return v
}

func heldBy(i int, m Member) (share, bool) {
	b, err := base64.RawStdEncoding.DecodeString(m.Kept)
	at, n := binary.Uvarint(b)
	if err != nil || n <= 0 || len(b[n:])%8 != 0 || !m.Cordoned || m.Joining || m.Draining || m.Cut {
		return share{}, false
	}
	h := share{member: i, at: at}
	for b = b[n:]; len(b) > 0; b = b[8:] {
		h.others = append(h.others, binary.BigEndian.Uint64(b))
	}
	return h, true
}

// Hold words what the member of a name has now, for it to keep when it is cordoned: of what was made up to the revision at, the
// keys that hash highest with it, among all who take keys of its group. Every member reads the same in it at any later time.
func (v *View) Hold(name string, at uint64) string {
	self, _ := v.Find(name)
	b := binary.AppendUvarint(nil, at)
	for i := range v.Members {
		if m := &v.Members[i]; m.Name != name && m.Takes(self.Group) {
			b = binary.BigEndian.AppendUint64(b, v.seeds[i])
		}
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// Holder is the cordoned member that keeps a key, made at the revision created (0 = it is being made).
func (v *View) Holder(key, group string, created uint64) (Member, bool) {
	if len(v.held) == 0 || created == 0 {
		return Member{}, false
	}
	h := xxhash.Sum64String(key)
	for _, x := range v.held {
		m := &v.Members[x.member]
		w := mix(h ^ v.seeds[x.member])
		if m.Group == group && created <= x.at && !slices.ContainsFunc(x.others, func(seed uint64) bool { return mix(h^seed) > w }) {
			return *m, true
		}
	}
	return Member{}, false
}

// Takes reports whether a member takes keys of a group that it did not have before.
func (m *Member) Takes(group string) bool {
	return !m.Joining && !m.Draining && !m.Cordoned && !m.Cut && m.Group == group
}

// Owner is who should own a key among the members of a group: the one whose name and the key hash highest. Draining
// members own nothing, nor do joining ones. false = the group has nobody.
func (v *View) Owner(key, group string) (Member, bool) {
	h := xxhash.Sum64String(key)
	best, at := uint64(0), -1
	for i := range v.Members {
		m := &v.Members[i]
		if !m.Takes(group) {
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
