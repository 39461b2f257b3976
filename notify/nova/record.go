// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"ferrite/node"
	"ferrite/notify"
)

// Subject is the one of Nova's records in the outbox.
const Subject = "$nova.power-update"

// Takes reports whether an event of the outbox is for Nova.
func Takes(subject string) bool { return subject == Subject }

// record is what the outbox keeps for Nova. Keys are on disk: add, never change.
type record struct {
	Server  string `json:"server_uuid"`
	Tag     string `json:"tag"`
	Request string `json:"request,omitempty"` // id of the request that caused the change
}

// tags are Nova's words. A power state that has none is not told.
var tags = map[node.PowerState]string{node.PowerOn: "POWER_ON", node.PowerOff: "POWER_OFF"}

// Inner encodes notifications.
type Inner interface {
	Encode(node.Notice) ([]notify.Message, error)
}

// Encoder puts Nova's record before the notification of the same change, whatever the notification level. Set the
// fields before the first use.
type Encoder struct {
	Inner  Inner
	Logger *slog.Logger

	begun sync.Map // node UUIDs whose power action under way began here
}

// Encode returns what the outbox shall keep of a notice.
func (e *Encoder) Encode(n node.Notice) ([]notify.Message, error) {
	rest, err := e.Inner.Encode(n)
	r, ok := e.update(n)
	if !ok {
		return rest, err
	}
	if err != nil {
		e.Logger.Error("a notification could not be written", "node", n.Node.UUID, "object", n.Object, "action", n.Action, "error", err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return rest, fmt.Errorf("nova: %w", err)
	}
	return append([]notify.Message{{Subject: Subject, Node: n.Node.UUID, Body: body}}, rest...), nil
}

// update is the record of a change of power that Nova has to hear of.
func (e *Encoder) update(n node.Notice) (r record, ok bool) {
	if n.Object != "node" || n.Node == nil {
		return r, false
	}
	resumed := false
	if n.Action == "power_set" {
		resumed = e.resumed(n)
	}
	if n.Node.InstanceUUID == "" || !changed(n, resumed) {
		return r, false
	}
	r.Server, r.Tag, r.Request = n.Node.InstanceUUID, tags[n.Node.PowerState], n.Request
	if r.Tag == "" {
		e.Logger.Error("Nova is not told of a power state that is neither on nor off", "node", n.Node.UUID, "instance", r.Server, "power_state", n.Node.PowerState)
		return r, false
	}
	return r, true
}

// resumed remembers which power actions began here until they end. An end whose start was not seen is of an action that
// another process began, and this one resumed.
func (e *Encoder) resumed(n node.Notice) bool {
	if n.Status == node.Start {
		e.begun.Store(n.Node.UUID, true)
		return false
	}
	_, here := e.begun.LoadAndDelete(n.Node.UUID)
	return !here
}

// changeLayout is how node stores last_power_state_change.
const changeLayout = "2006-01-02T15:04:05.000000"

// changed reports whether a notice tells of power that was changed, by us or by others (spec power.md section 9, When
// and Not sent): the end of a power action that sent a command, not of one that found the wanted state; a correction,
// but not the one of verification, which is a step of the provision state. A resumed action may well find the wanted
// state because of the command that was sent before the crash: it counts, as telling Nova too often is harmless.
func changed(n node.Notice, resumed bool) bool {
	switch {
	case n.Action == "power_set" && n.Status == node.End:
		at, _ := n.Node.DriverInternalInfo["last_power_state_change"].(string)
		return resumed || at == n.At.UTC().Format(changeLayout)
	case n.Action == "power_state_corrected" && n.Status == node.Success:
		return !n.Node.ProvisionUpdatedAt.Equal(n.At)
	default:
		return false
	}
}
