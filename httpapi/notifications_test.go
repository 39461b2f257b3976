// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/notify"
)

// kept is an outbox of places "rev.index".
type kept struct {
	places []string
	newest node.Rev
}

func (k *kept) Applied() node.Rev { return k.newest }

func (k *kept) Kept(rev node.Rev, index, limit int) ([]notify.Packet, error) {
	var out []notify.Packet
	for i, p := range k.places {
		if r, x, _ := notify.ParsePlace(p); (r > rev || r == rev && x >= index) && len(out) < limit {
			subject := "topic.info.baremetal.node.update.end"
			if i%2 == 0 {
				subject = "topic.error.baremetal.node.update.error"
			}
			out = append(out, notify.Packet{Place: p, ID: "id-" + p, Subject: subject, Node: "n1", Body: []byte(`{"a":"<&>"}`)})
		}
	}
	return out, nil
}

// read asks for notifications and goes on until the end, as the CLI does.
func (w *world) read(query string) (places []string, answers int) {
	w.t.Helper()
	for next := ""; ; {
		q := query
		if next != "" {
			q += "&from=" + next
		}
		a := w.want(http.StatusOK, "GET", "/v1/x/notifications?"+q, "")
		answers++
		for line := range strings.Lines(a.text) {
			var l struct {
				Rev, ID, Subject, Node string
				Body                   json.RawMessage
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.ID != "id-"+l.Rev || l.Node != "n1" || string(l.Body) != `{"a":"<&>"}` {
				w.t.Fatalf("line %s: %v", line, err)
			}
			places = append(places, l.Rev)
		}
		if next = a.Header.Get("Ferrite-Next"); next == "" {
			return places, answers
		}
	}
}

func TestNotificationsAreRead(t *testing.T) { // P6, N2
	k := &kept{places: []string{"10.0", "10.1", "12.0", "15.3"}, newest: 20}
	w := newWorld(t, func(c *httpapi.Config) { c.Notifications = k })
	for query, want := range map[string]string{
		"": "10.0 10.1 12.0 15.3", "from=oldest": "10.0 10.1 12.0 15.3", "from=0": "10.0 10.1 12.0 15.3", "from=10.1": "10.1 12.0 15.3",
		"from=11": "12.0 15.3", "from=10&to=12": "10.0 10.1 12.0", "from=16": "", "from=99": "", "to=99": "10.0 10.1 12.0 15.3", "to=9": "",
		"subject=topic.error.>": "10.0 12.0", "subject=*.info.>&to=12": "10.1",
	} {
		if got, _ := w.read(query); strings.Join(got, " ") != want {
			t.Errorf("%q: %v, wanted %s", query, got, want)
		}
	}
	a := w.want(http.StatusOK, "GET", "/v1/x/notifications", "")
	if a.Header.Get("Content-Type") != "application/x-ndjson" || a.Header.Get("Ferrite-To") != "20" {
		t.Errorf("%v", a.Header)
	}
}

func TestNotificationsThatAreGone(t *testing.T) {
	k := &kept{places: []string{"10.1", "12.0"}, newest: 20}
	w := newWorld(t, func(c *httpapi.Config) { c.Notifications = k })
	for _, from := range []string{"9", "10", "10.0", "1"} {
		if a := w.want(http.StatusGone, "GET", "/v1/x/notifications?from="+from, ""); !strings.Contains(a.text, "the oldest that is kept is 10.1") {
			t.Errorf("from %s: %s", from, a.text)
		}
	}
	k.places = nil
	if a := w.want(http.StatusGone, "GET", "/v1/x/notifications?from=15", ""); !strings.Contains(a.text, "the outbox is empty") {
		t.Errorf("%s", a.text)
	}
	if got, _ := w.read("from=oldest"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"from=x", "from=-1", "to=1.5", "to=", "form=1"} {
		w.want(http.StatusBadRequest, "GET", "/v1/x/notifications?"+bad, "")
	}
	newWorld(t).want(http.StatusNotFound, "GET", "/v1/x/notifications", "")
}

func TestNotificationsInParts(t *testing.T) {
	k := &kept{newest: 5000}
	for i := range 2500 {
		k.places = append(k.places, fmt.Sprintf("%d.%d", 1+i/2, i%2))
	}
	w := newWorld(t, func(c *httpapi.Config) { c.Notifications = k })
	if got, answers := w.read("from=1"); !slices.Equal(got, k.places) || answers != 3 {
		t.Errorf("%d of %d in %d answers", len(got), len(k.places), answers)
	}
}
