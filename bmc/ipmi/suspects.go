// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"fmt"
	"net/netip"
	"time"
)

// Senders of packets that were not believed are remembered until their BMC gives an answer or an error tells of them, at
// most suspectsMax at once: packets with forged senders must not fill the memory. A full list begins anew after
// suspectsTime.
const (
	suspectsMax  = 1024
	suspectsTime = time.Minute
)

// suspects tells a BMC that is silent from one that talks nonsense.
type suspects struct {
	by    map[netip.AddrPort]suspect
	since int64 // shard time of the oldest entry
}

type suspect struct {
	packets int
	last    Reason
	strays  int // packets of this BMC's session that came from elsewhere
}

// note counts a packet that was not believed.
func (s *suspects) note(from netip.AddrPort, why Reason, now int64) {
	s.count(from, now, func(e *suspect) { e.packets, e.last = e.packets+1, why })
}

// stray counts a packet that named the session of a BMC and came from elsewhere: of one behind a translated address, say.
func (s *suspects) stray(of netip.AddrPort, now int64) {
	s.count(of, now, func(e *suspect) { e.strays++ })
}

func (s *suspects) count(from netip.AddrPort, now int64, add func(*suspect)) {
	e, known := s.by[from]
	if !known && len(s.by) >= suspectsMax {
		if now-s.since < int64(suspectsTime) {
			return
		}
		clear(s.by)
	}
	if len(s.by) == 0 {
		s.since = now
		if s.by == nil {
			s.by = map[netip.AddrPort]suspect{}
		}
	}
	add(&e)
	s.by[from] = e
}

// clear forgets a BMC that has answered.
func (s *suspects) clear(from netip.AddrPort) {
	if len(s.by) > 0 {
		delete(s.by, from)
	}
}

// take is what the error of a BMC's command adds, "" = nothing came; the next one counts from 0.
func (s *suspects) take(from netip.AddrPort) string {
	e, ok := s.by[from]
	if !ok {
		return ""
	}
	delete(s.by, from)
	if e.packets == 0 {
		return fmt.Sprintf("; packets of its session came from another address or port and were not believed (%d)", e.strays)
	}
	if e.packets == 1 {
		return "; 1 packet from there was not believed: " + reasonTexts[e.last].text
	}
	return fmt.Sprintf("; %d packets from there were not believed, the last one because %s", e.packets, reasonTexts[e.last].text)
}
