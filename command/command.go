// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"ferrite/inventory"
	"ferrite/node"
)

// Request is one message to a node's owner.
type Request struct {
	Node  string // UUID
	Meta  node.Meta
	Msg   node.Msg
	Owner node.Owner // of the record as the sender saw it: the receiver runs it only if that still holds (S6)
	Serve bool       // serve it whatever your own View says
}

// Reply is the answer.
type Reply struct {
	Value any
	Err   *node.Error // nil = Value counts
	// NotOwner: nothing was done, the receiver thinks that another conductor owns the node.
	NotOwner bool
}

// messages by name.
var messages = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for _, x := range []node.Msg{
		node.CreateNode{},
		node.UpdateNode{},
		node.DeleteNode{},
		node.SetMaintenance{},
		node.SetPower{},
		node.SetProvision{},
		node.SetBootDevice{},
		node.GetBootDevice{},
		node.InjectNMI{},
		node.CallVendor{},
		node.Identify{},
		node.GetSensors{},
		node.GetEvents{},
		node.GetConfirmed{},
		node.ClearEvents{},
		node.SetConsole{},
		node.SetTraits{},
		node.SetRaidConfig{},
		node.SetBootMode{},
		node.SetSecureBoot{},
		inventory.CreatePort{},
		inventory.UpdatePort{},
		inventory.DeletePort{},
	} {
		m[x.MsgName()] = reflect.TypeOf(x)
	}
	return m
}()

// values are the types of replies.
var values = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for _, x := range []any{node.Node{}, inventory.Port{}, node.BootDevice{}, node.Sensors{}, node.Events{}, node.Confirmed{}} {
		m[reflect.TypeOf(x).Name()] = reflect.TypeOf(x)
	}
	return m
}()

type wireRequest struct {
	Node  string
	Meta  node.Meta
	Name  string
	Msg   json.RawMessage
	Owner node.Owner
	Serve bool
}

type wireReply struct {
	Type     string // "" = nil
	Value    json.RawMessage
	Err      *wireError
	NotOwner bool
}

type wireError struct {
	Op, Node, Text, Cause string
	Kind                  node.Kind
	Ahead                 int `json:",omitempty"`
}

// EncodeRequest is the request as bytes.
func EncodeRequest(r Request) ([]byte, error) {
	if _, ok := messages[r.Msg.MsgName()]; !ok {
		return nil, fmt.Errorf("message %s does not travel between conductors", r.Msg.MsgName())
	}
	b, err := json.Marshal(r.Msg)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wireRequest{r.Node, r.Meta, r.Msg.MsgName(), b, r.Owner, r.Serve})
}

// DecodeRequest is the other way.
func DecodeRequest(b []byte) (Request, error) {
	var w wireRequest
	if err := json.Unmarshal(b, &w); err != nil {
		return Request{}, fmt.Errorf("a request from another conductor: %w", err)
	}
	t, ok := messages[w.Name]
	if !ok {
		return Request{}, fmt.Errorf("a request %q from another conductor is not known here: upgrade this one", w.Name)
	}
	v, err := decode(t, w.Msg)
	if err != nil {
		return Request{}, fmt.Errorf("a request %s from another conductor: %w", w.Name, err)
	}
	return Request{w.Node, w.Meta, v.Elem().Interface().(node.Msg), w.Owner, w.Serve}, nil
}

// EncodeReply is the answer as bytes.
func EncodeReply(r Reply) ([]byte, error) {
	w := wireReply{NotOwner: r.NotOwner}
	if e := r.Err; e != nil {
		w.Err = &wireError{Op: e.Op, Node: e.Node, Text: e.Text, Kind: e.Kind, Ahead: e.Ahead}
		if e.Err != nil {
			w.Err.Cause = e.Err.Error()
		}
	}
	v := reflect.ValueOf(r.Value)
	if r.Value != nil && v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if r.Value != nil && v.Kind() != reflect.Pointer {
		if _, ok := values[v.Type().Name()]; !ok {
			return nil, fmt.Errorf("a reply of type %T does not travel between conductors", r.Value)
		}
		w.Type = v.Type().Name()
		if reflect.TypeOf(r.Value).Kind() == reflect.Pointer {
			w.Type = "*" + w.Type
		}
		b, err := json.Marshal(r.Value)
		if err != nil {
			return nil, err
		}
		w.Value = b
	}
	return json.Marshal(w)
}

// DecodeReply is the other way.
func DecodeReply(b []byte) (Reply, error) {
	var w wireReply
	if err := json.Unmarshal(b, &w); err != nil {
		return Reply{}, fmt.Errorf("a reply from another conductor: %w", err)
	}
	r := Reply{NotOwner: w.NotOwner}
	if e := w.Err; e != nil {
		r.Err = &node.Error{Op: e.Op, Node: e.Node, Text: e.Text, Kind: e.Kind, Ahead: e.Ahead}
		if e.Cause != "" {
			r.Err.Err = errors.New(e.Cause)
		}
	}
	if w.Type == "" {
		return r, nil
	}
	t, ok := values[strings.TrimPrefix(w.Type, "*")]
	if !ok {
		return Reply{}, fmt.Errorf("a reply of type %q from another conductor is not known here: upgrade this one", w.Type)
	}
	v, err := decode(t, w.Value)
	if err != nil {
		return Reply{}, fmt.Errorf("a reply from another conductor: %w", err)
	}
	if r.Value = v.Interface(); !strings.HasPrefix(w.Type, "*") {
		r.Value = v.Elem().Interface()
	}
	return r, nil
}

// decode reads a pointer to a value of type t. Integers too long for a float64 stay as they are written, as the API and
// the store have them.
func decode(t reflect.Type, b []byte) (reflect.Value, error) {
	v := reflect.New(t)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(v.Interface()); err != nil {
		return v, err
	}
	settle(v.Elem())
	return v, nil
}

// settle turns the numbers in free-form values into float64 where that keeps all digits.
func settle(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			settle(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				settle(f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			settle(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if e := v.MapIndex(k); e.Kind() == reflect.Interface && !e.IsNil() {
				v.SetMapIndex(k, reflect.ValueOf(settled(e.Interface())))
			} else if e.Kind() == reflect.Pointer {
				settle(e)
			}
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(reflect.ValueOf(settled(v.Interface())))
		}
	default: // no other holds free-form values
	}
}

func settled(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil || len(v) > 15 && !strings.ContainsAny(string(v), ".eE") && strconv.FormatFloat(f, 'f', -1, 64) != string(v) {
			return v
		}
		return f
	case map[string]any:
		for k := range v {
			v[k] = settled(v[k])
		}
	case []any:
		for i := range v {
			v[i] = settled(v[i])
		}
	}
	return v
}
