// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import "testing"

func TestMatches(t *testing.T) {
	const subject = "ironic_versioned_notifications.info.baremetal.node.power_set.end"
	for pattern, want := range map[string]bool{
		subject: true, ">": true, AllSubjects: true, "*.info.>": true, "*.error.>": false,
		"*.*.baremetal.node.power_set.*": true, "*.*.baremetal.node.power_set": false, subject + ".>": false, "*": false, "": false,
		"*.*.baremetal.node.power_set.end.>": false,
	} {
		if got := Matches(pattern, subject); got != want {
			t.Errorf("%q: %v, wanted %v", pattern, got, want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]place{"120.1": {120, 1}, "7": {7, 0}, "0.0": {}} {
		if rev, index, err := ParsePlace(text); err != nil || (place{rev, index}) != want {
			t.Errorf("%q: %d %d %v", text, rev, index, err)
		}
	}
	for _, text := range []string{"", "x", "1.", ".1", "-1", "1.-2", "1.2.3", "1.9999999999"} {
		if _, _, err := ParsePlace(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// N3: what others take is passed by without a word to NATS, and the cursor goes on behind it.
func TestInternalEvents(t *testing.T) {
	feed := newOutbox()
	feed.add(1)
	feed.put(Message{Subject: "$other.thing", Body: []byte("{}")})
	feed.add(1)
	for range 300 { // more than a batch
		feed.put(Message{Subject: "$other.thing", Body: []byte("{}")})
	}
	bus := &wire{}
	p := New(Config{Feed: feed, Bus: bus})
	stop := start(t, p)
	all := feed.places()
	eventually(t, "the end", func() bool { st := p.Stats(); return Place(st.Rev, st.Index) == all[len(all)-1] })
	stop()
	if st := p.Stats(); st.Published != 2 || Place(feed.Cursor()) != all[len(all)-1] {
		t.Errorf("%+v, cursor %s", st, Place(feed.Cursor()))
	}
	other := New(Config{Feed: feed, Bus: &wire{}, Takes: Internal})
	feed.cursor = place{}
	stop = start(t, other)
	eventually(t, "the others", func() bool { return other.Stats().Published == 301 })
	stop()
}
