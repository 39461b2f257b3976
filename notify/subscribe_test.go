// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ferrite/node"
)

// publish sends the notice of a power change, as a conductor would, and a body that is none.
func publish(t *testing.T, url, format string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := notice("node", "power_set", node.End, true)
	n.At, n.ToPower = time.Date(2026, 11, 21, 5, 6, 7, 891000, time.UTC), node.PowerOn
	n.Node = &node.Node{UUID: "1be2", Name: "r01n01", PowerState: node.PowerOn}
	msgs, err := (&Encoder{Host: "c1", Level: "info", Format: format}).Encode(n)
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages, %v", len(msgs), err)
	}
	bus := connect(t, Link{URL: url})
	p := Packet{Subject: msgs[0].Subject, ID: MessageID(7, 1), Place: Place(7, 1), Node: msgs[0].Node, Body: Finish(msgs[0].Body, 7, 1)}
	bad := Packet{Subject: AllSubjects[:len(AllSubjects)-1] + "other", ID: "x", Body: []byte("hello")}
	for _, p := range []Packet{bad, p} {
		if err := bus.Publish(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := bus.Confirm(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestSubscribeReadsWhatAConductorPublishes(t *testing.T) {
	for _, format := range []string{"bare", "oslo"} {
		t.Run(format, func(t *testing.T) {
			url := serve(t, "127.0.0.1:0").ClientURL()
			enough := errors.New("enough")
			var got []Heard
			var errs []error
			err := Subscribe(context.Background(), url, "", func() { publish(t, url, format) }, func(h Heard, err error) error {
				got, errs = append(got, h), append(errs, err)
				if len(got) == 2 {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) {
				t.Fatalf("Subscribe: %v, wanted the callback's error", err)
			}
			if errs[0] == nil || string(got[0].Raw) != "hello" {
				t.Errorf("a body that is no notification: %v, %+v", errs[0], got[0])
			}
			h := got[1]
			if errs[1] != nil || h.Event != "baremetal.node.power_set.end" || h.Priority != "INFO" || h.Publisher != "ironic-conductor.c1" ||
				h.Node != "1be2" || h.Place != "7.1" || h.ID != MessageID(7, 1) || h.Payload != "NodeSetPowerStatePayload" ||
				h.Data["to_power"] != "power on" || h.Data["name"] != "r01n01" || !h.At.Equal(time.Date(2026, 11, 21, 5, 6, 7, 891000, time.UTC)) {
				t.Errorf("%v, %+v", errs[1], h)
			}
		})
	}
}

// What is not Ironic's has a payload of its own.
func TestReadOfAnOwnEvent(t *testing.T) {
	body := `{"event_type":"ferrite.bmc_subnet.down","timestamp":"2026-11-21T05:06:07.891Z","publisher_id":"ferrite-conductor.c1","payload":{"subnet":"192.0.2.0/24","nodes":24}}`
	h, err := Read("s", []byte(body))
	if err != nil || h.Event != "ferrite.bmc_subnet.down" || h.Publisher != "ferrite-conductor.c1" || h.Payload != "" || h.Data["subnet"] != "192.0.2.0/24" ||
		h.Data["nodes"] != 24.0 || !h.At.Equal(time.Date(2026, 11, 21, 5, 6, 7, 891_000_000, time.UTC)) {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []string{`{"event_type":"ferrite.x","timestamp":"2026-11-21T05:06:07Z","payload":7}`, `{"event_type":"ferrite.x","timestamp":"yesterday"}`} {
		if h, err := Read("s", []byte(bad)); err == nil {
			t.Errorf("%s was read as %+v", bad, h)
		}
	}
}

func TestSubscribeEndsWithItsContext(t *testing.T) {
	url := serve(t, "127.0.0.1:0").ClientURL()
	ctx, cancel := context.WithCancel(context.Background())
	if err := Subscribe(ctx, url, "a.>", cancel, func(Heard, error) error { return nil }); err != nil {
		t.Errorf("after cancel: %v", err)
	}
}

func TestSubscribeNamesWhatItCannotReach(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	url := s.ClientURL()
	s.Shutdown()
	for _, u := range []string{url, "nowhere"} {
		err := Subscribe(context.Background(), u, "", nil, nil)
		if err == nil || !strings.Contains(err.Error(), u) {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestReadRefusesWhatIsNoNotification(t *testing.T) {
	for _, body := range []string{"", "[]", `{}`, `{"event_type":"compute.x"}`, `{"event_type":"baremetal.node.create.end","timestamp":"yesterday"}`, `{"oslo.message":"{"}`} {
		if h, err := Read("s", []byte(body)); err == nil {
			t.Errorf("%s was read as %+v", body, h)
		}
	}
}

// TestSubscribeTellsNoPassword: what goes wrong is told with the address, and without what is secret in it.
func TestSubscribeTellsNoPassword(t *testing.T) {
	s := serve(t, "127.0.0.1:0")
	at := strings.TrimPrefix(s.ClientURL(), "nats://")
	s.Shutdown()
	for _, list := range []string{"nats://ops:pass-word@" + at, "nats://" + at + ",nats://ops:pass-word@" + at} {
		err := Subscribe(context.Background(), list, "", nil, nil)
		if err == nil || !strings.Contains(err.Error(), at) || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%s: %v", list, err)
		}
	}
}
