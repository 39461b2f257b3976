// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRead: what comes over NATS is refused or is a notification, bare and in oslo's wrapping alike.
func FuzzRead(f *testing.F) {
	const whole = `{"message_id":"m","publisher_id":"ironic-conductor.c1","event_type":"baremetal.node.power_set.end","priority":"INFO","timestamp":"2026-11-21 05:06:07.891000","payload":{"ironic_object.name":"NodePayload","ironic_object.data":{"uuid":"1be2","name":null}}}`
	for _, s := range []string{
		whole, `{"oslo.message":"{}"}`, `{"oslo.message":"{\"oslo.message\":\"x\"}"}`, `{"oslo.message":7}`, "", "null", "[]",
		strings.Replace(whole, "2026", "0000", 1), strings.Replace(whole, `{"uuid":"1be2","name":null}`, "[]", 1), "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := Read("s", body)
		if h.Subject != "s" || !bytes.Equal(h.Raw, body) {
			t.Fatalf("%+v does not tell what came in", h)
		}
		if err != nil {
			return
		}
		if !strings.HasPrefix(h.Event, "baremetal.") || h.At.IsZero() && !bytes.Contains(body, []byte("0001")) {
			t.Errorf("%q was read as %+v", body, h)
		}
		if !json.Valid(body) {
			t.Errorf("%q is no JSON and was read as %+v", body, h)
		}
		wrapped, _ := json.Marshal(map[string]string{"oslo.message": string(body), "oslo.version": "2.0"})
		if bytes.Contains(body, []byte("oslo.message")) || bytes.Contains(body, []byte("\\u")) || strings.ToValidUTF8(string(body), "") != string(body) {
			return
		}
		if again, err := Read("s", wrapped); err != nil || again.Event != h.Event || again.ID != h.ID || !again.At.Equal(h.At) {
			t.Errorf("wrapped, %q is %+v, %v", body, again, err)
		}
	})
}
