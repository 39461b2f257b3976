// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/node"
)

// vendorMethod is what a vendor interface offers besides Ironic's own API (spec ipmi-driver.md section 6).
type vendorMethod struct {
	name, description string
	arguments         []string
	message           func(args map[string]any) (node.Msg, error)
}

// vendorMethods are those of each vendor interface; all are POST, asynchronous and under the lock.
var vendorMethods = map[string][]vendorMethod{
	"ipmitool": {
		{node.VerbResetBMC, "Restart the BMC, warm (true, the default) or cold (false).", []string{"warm"}, bmcReset},
		{node.VerbRaw, "Send a raw IPMI request: raw_bytes is the network function, the command and its data, like \"0x06 0x01\".", []string{"raw_bytes"}, sendRaw},
	},
}

func bmcReset(args map[string]any) (node.Msg, error) {
	warm := true
	if v, ok := args["warm"]; ok {
		warm = lenientBool(v)
	}
	return node.CallVendor{Method: node.VerbResetBMC, Cold: !warm}, nil
}

// lenientBool reads a boolean as Ironic's strutils.bool_from_string does: what is unknown is false.
func lenientBool(v any) bool {
	b, err := wire.ParseBool("warm", v)
	return err == nil && b
}

// longestRaw bounds a raw request: IPMI messages are shorter.
const longestRaw = 200

func sendRaw(args map[string]any) (node.Msg, error) {
	text, _ := args["raw_bytes"].(string)
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, invalid("Parameter raw_bytes (string of bytes) was not specified.")
	}
	m := node.CallVendor{Method: node.VerbRaw}
	for _, w := range words {
		b, err := strconv.ParseUint(w, 0, 8)
		if err != nil {
			return nil, invalid("Invalid raw_bytes %q: wanted bytes like \"0x06 0x01\", found %q.", text, w)
		}
		m.Raw = append(m.Raw, byte(b))
	}
	if len(m.Raw) < 2 || len(m.Raw) > longestRaw || m.Raw[0] > 0x3f || m.Raw[0]&1 != 0 {
		return nil, invalid("Invalid raw_bytes %q: wanted an even network function below 0x40, a command and up to %d bytes of data.", text, longestRaw-2)
	}
	return m, nil
}

// listMethods is GET vendor_passthru/methods.
func listMethods(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	b := append(r.buffer(), '{')
	for i, m := range vendorMethods[n.Interfaces["vendor"]] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, m.name), `:{"http_methods":["POST"],"async":true,"attach":false,"require_exclusive_lock":true,"description":`...)
		b = append(wire.AppendString(b, m.description), '}')
	}
	r.json(http.StatusOK, append(b, '}'))
	return nil
}

// callMethod is vendor_passthru in both its forms.
func callMethod(r *request) error {
	n, err := r.theNode()
	if err != nil {
		return err
	}
	method, _ := r.arg("method")
	if len(r.params) > 1 {
		method = r.param(1)
	}
	if strings.TrimSpace(method) == "" {
		return invalid("Method not specified when calling vendor extension.")
	}
	methods := vendorMethods[n.Interfaces["vendor"]]
	i := slices.IndexFunc(methods, func(m vendorMethod) bool { return m.name == method })
	switch {
	case i < 0:
		return invalid("No handler for method %s", method)
	case r.method() != http.MethodPost:
		return invalid("The method %s does not support HTTP %s", method, r.method())
	}
	args, err := r.arguments(append(methods[i].arguments, "method")...)
	if err != nil {
		return err
	}
	m, err := methods[i].message(args)
	if err != nil {
		return err
	}
	if _, err := r.do(n.UUID, m); err != nil {
		return err
	}
	r.empty(http.StatusAccepted)
	return nil
}

// showSensors is GET /v1/x/nodes/{node}/sensors: what the machine measures now, asked of its BMC.
func showSensors(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	all, err := ask[node.Sensors](r, n.UUID, node.GetSensors{})
	if err != nil {
		return err
	}
	b := append(r.buffer(), `{"sensors":[`...)
	for i, s := range all.All {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSensor(b, s)
	}
	r.json(http.StatusOK, append(b, `]}`...))
	return nil
}

func appendSensor(b []byte, s node.Sensor) []byte {
	b = wire.AppendString(append(b, `{"sensor_id":`...), s.ID)
	b = wire.AppendString(append(b, `,"name":`...), s.Name)
	b = wire.AppendString(append(b, `,"type":`...), s.Type)
	b = wire.AppendString(append(b, `,"entity_id":`...), s.Entity)
	b = append(b, `,"value":`...)
	var value, unit, status any
	if s.Unit != "" {
		if unit = s.Unit; s.Known {
			value = s.Value
		}
	}
	if s.Status != "" {
		status = s.Status
	}
	b = wire.AppendValue(b, value)
	b = wire.AppendValue(append(b, `,"unit":`...), unit)
	b = wire.AppendValue(append(b, `,"readable":`...), s.Known)
	b = wire.AppendValue(append(b, `,"status":`...), status)
	b = wire.AppendStrings(append(b, `,"states":`...), s.States)
	limits := make(map[string]any, len(s.Limits))
	for k, v := range s.Limits {
		limits[strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(k), " ", "_"), "-", "_")] = v
	}
	return append(wire.AppendValue(append(b, `,"thresholds":`...), limits), '}')
}

// mostEvents is how many events of a machine's log one answer tells when nobody says how many.
const mostEvents = 1000

// showEvents is GET /v1/x/nodes/{node}/events: the newest events of the machine's own log, oldest first.
func showEvents(r *request) error {
	if err := r.allow("limit"); err != nil {
		return err
	}
	n, err := r.theNode()
	if err != nil {
		return err
	}
	m := node.GetEvents{Limit: mostEvents}
	if text, ok := r.arg("limit"); ok {
		if m.Limit, err = strconv.Atoi(text); err != nil || m.Limit < 1 {
			return invalid("Invalid limit %q: wanted a number above 0.", text)
		}
	}
	all, err := ask[node.Events](r, n.UUID, m)
	if err != nil {
		return err
	}
	b := append(r.buffer(), `{"events":[`...)
	for i, e := range all.All {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, e)
	}
	r.json(http.StatusOK, append(b, `]}`...))
	return nil
}

// clearEvents is DELETE /v1/x/nodes/{node}/events: the log is empty when it is answered.
func clearEvents(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	return r.changed(node.ClearEvents{})
}

func appendEvent(b []byte, e node.Event) []byte {
	b = wire.AppendValue(append(b, `{"id":`...), int(e.ID))
	b = wire.AppendTime(append(b, `,"time":`...), e.Time)
	b = wire.AppendValue(append(b, `,"record_type":`...), int(e.Record))
	for _, x := range []struct{ name, text string }{{"sensor_id", e.Sensor}, {"sensor_type", e.Type}, {"event", e.Text}} {
		var v any
		if x.text != "" {
			v = x.text
		}
		b = wire.AppendValue(append(wire.AppendString(append(b, ','), x.name), ':'), v)
	}
	b = wire.AppendValue(append(b, `,"asserted":`...), !e.Deassert)
	return append(wire.AppendString(append(b, `,"data":`...), hex.EncodeToString(e.Data)), '}')
}

// How long the light is on when nobody says so, and at most.
const (
	lightSpan    = 15
	longestLight = 255
)

// identifyNode is PUT /v1/x/nodes/{node}/identify: the machine's light is on for so many seconds, on for good or out.
func identifyNode(r *request) error {
	args, err := r.arguments("seconds", "state")
	if err != nil {
		return err
	}
	m := node.Identify{Span: lightSpan * time.Second}
	seconds, timed := args["seconds"]
	state, named := args["state"]
	switch {
	case timed && named:
		return invalid("Both seconds and state were given: wanted one of them.")
	case named && state == "on":
		m.Span = -1
	case named && state == "off":
		m.Span = 0
	case named:
		return invalid("Invalid state %v: wanted on or off.", state)
	case timed:
		n, ok := lightSeconds(seconds)
		if !ok || n < 1 || n > longestLight {
			return invalid("Invalid seconds %v: wanted a whole number from 1 to %d.", seconds, longestLight)
		}
		m.Span = time.Duration(n) * time.Second
	}
	return r.changed(m)
}

func lightSeconds(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == float64(int(v))
	case string:
		n, err := strconv.Atoi(v)
		return n, err == nil
	default:
		return 0, false
	}
}
