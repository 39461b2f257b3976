// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
)

func TestRequestsComeBackAsSent(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)
	extra := map[string]any{"a": 1.5, "b": []any{"x", nil, true, 3.0}, "big": json.Number("12345678901234567890"), "m": map[string]any{"n": 7.0}, "nil": nil}
	n := &node.Node{UUID: "u", Name: "n", Driver: "ipmi", DriverInfo: map[string]any{"ipmi_password": "s"}, Extra: extra, CreatedAt: at, Owner: node.Owner{Name: "c1", Incarnation: 1 << 63, Epoch: 3}, Outer: 1<<53 + 1}
	for _, m := range []node.Msg{
		node.CreateNode{Node: n},
		node.UpdateNode{Base: 1<<60 + 1, Want: n, Changed: []string{"extra"}},
		node.DeleteNode{},
		node.SetPower{Target: node.PowerOn, Timeout: time.Minute},
		node.SetProvision{Verb: "active", Configdrive: extra},
		node.SetProvision{Verb: "clean", CleanSteps: []node.StepSpec{{Interface: "deploy", Step: "erase", Args: map[string]any{"n": 1.0}}}},
		node.CallVendor{Method: "send_raw", Raw: []byte{6, 1}},
		node.Identify{Span: -1},
		node.ClearEvents{},
		node.GetConfirmed{},
		node.GetConfirmed{Nodes: []string{"v", "w"}, Health: true},
		node.GetConfirmed{BMCs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}},
		node.GetEvents{Limit: 7},
		node.GetBootDevice{},
		inventory.CreatePort{Port: &inventory.Port{UUID: "p", Extra: extra}},
		inventory.DeletePort{UUID: "p"},
	} {
		want := Request{Node: "u", Meta: node.Meta{By: "admin", RequestID: "req-1", Minor: 90, Rank: node.RankBulk}, Msg: m, Owner: n.Owner, Serve: true}
		b, err := EncodeRequest(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeRequest(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", m.MsgName(), err, got, want)
		}
	}
}

func TestRepliesComeBackAsSent(t *testing.T) {
	for _, want := range []Reply{
		{},
		{NotOwner: true},
		{Value: &node.Node{UUID: "u", Extra: map[string]any{"a": 1.0}}},
		{Value: node.BootDevice{Device: "pxe", Known: true}},
		{Value: node.Sensors{All: []node.Sensor{{ID: "Temp (0x1)", Value: 1.5, Known: true, Limits: map[string]float64{"Upper critical": 83}, Fields: []node.Field{{Name: "Status", Value: "ok"}}}}}},
		{Value: node.Confirmed{At: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)}},
		{Value: node.Confirmed{Health: map[string]node.Health{"v": {State: "critical", At: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC), Sensors: []string{"Fan (0x1)"}}}}},
		{Value: node.Confirmed{All: map[string]time.Time{"v": time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)}}},
		{Value: node.Events{All: []node.Event{{ID: 1, Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Data: []byte{1}}}}},
		{Value: &inventory.Port{UUID: "p", Address: "52:54:00:00:00:01"}},
		{Err: &node.Error{Op: "SetPower", Node: "u", Kind: node.Locked, Text: "busy", Err: errors.New("cause"), Ahead: 64}},
	} {
		b, err := EncodeReply(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeReply(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
}

func TestUnknownMessagesAreNamed(t *testing.T) {
	if _, err := EncodeRequest(Request{Msg: node.Activated{}}); err == nil || !strings.Contains(err.Error(), "Activated") {
		t.Errorf("an inner message travels: %v", err)
	}
	if _, err := DecodeRequest([]byte(`{"Name":"Fly","Msg":{}}`)); err == nil || !strings.Contains(err.Error(), `"Fly"`) {
		t.Errorf("an unknown request: %v", err)
	}
	if _, err := DecodeReply([]byte(`{"Type":"Moon"}`)); err == nil || !strings.Contains(err.Error(), `"Moon"`) {
		t.Errorf("an unknown reply: %v", err)
	}
}

// Every request that package node names is either sent on, or served where it is asked.
func TestEveryRequestIsKnown(t *testing.T) {
	here := map[string]bool{"Release": true} // S13
	for _, file := range []string{"../node/message.go", "../node/machine.go", "../inventory/message.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`MsgName\(\) string\s*\{ return "(\w+)" \}`).FindAllStringSubmatch(string(b), -1) {
			if _, ok := messages[m[1]]; !ok && !here[m[1]] {
				t.Errorf("%s of %s does not travel between conductors", m[1], file)
			}
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	b, _ := EncodeRequest(Request{Node: "u", Msg: node.SetPower{Target: node.PowerOn}})
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = DecodeRequest(b)
		_, _ = DecodeReply(b)
	})
}
