// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"ferrite/inventory"
	"ferrite/node"
)

// valueVersion is the format of record values: this byte, then JSON with Go's field names (L1). Raise it when a reader
// of the present format would misread the new one; an added field does not need that.
const valueVersion = 1

// errNewer says that data was written by a newer ferrite (L1).
var errNewer = errors.New("written by a newer ferrite: upgrade this one")

// kindInfo is what the store must know of a kind.
type kindInfo struct {
	name   string
	value  reflect.Type // of Put.Value
	disk   bool         // kept on disk only, not in memory
	encode func(c *codec, id string, v any) (any, error)
	decode func(c *codec, id string, data []byte) (any, error)
}

// kinds is the table of record kinds.
var kinds = map[Kind]kindInfo{
	KindNode:      {name: "node", value: reflect.TypeFor[*node.Node](), encode: sealNode, decode: decodeNode},
	KindPort:      {name: "port", value: reflect.TypeFor[*inventory.Port](), encode: sealPort, decode: decodePort},
	KindHistory:   {name: "history", value: reflect.TypeFor[*node.Entry](), disk: true, decode: decodeInto[node.Entry]},
	KindTombstone: {name: "tombstone", value: reflect.TypeFor[*Tombstone](), decode: decodeInto[Tombstone]},
	KindSetting:   {name: "setting", value: reflect.TypeFor[[]byte]()},
	KindCursor:    {name: "cursor", value: reflect.TypeFor[[]byte]()},
	KindConductor: {name: "conductor", value: reflect.TypeFor[[]byte]()},
	KindChassis:   {name: "chassis", value: reflect.TypeFor[*inventory.Chassis](), encode: sealChassis, decode: decodeChassis},
}

// codec turns record values into bytes and back. It may be used by several goroutines.
type codec struct {
	seal  *sealer
	words *words
}

func newCodec(s *sealer) *codec { return &codec{seal: s, words: newWords()} }

// encode gives the bytes of a value as they enter the log, secrets sealed.
func (c *codec) encode(k Key, v any) ([]byte, error) {
	info, ok := kinds[k.Kind]
	if !ok {
		return nil, fmt.Errorf("record %d/%s: no such kind of record", k.Kind, k.ID)
	}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() || rv.Type() != info.value || rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil, fmt.Errorf("%s %s: its value is %T, wanted a %s", info.name, k.ID, v, info.value)
	}
	if raw, ok := v.([]byte); ok {
		return append([]byte{valueVersion}, raw...), nil
	}
	if info.encode != nil {
		sealed, err := info.encode(c, k.ID, v)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", info.name, k.ID, err)
		}
		v = sealed
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", info.name, k.ID, err)
	}
	return append([]byte{valueVersion}, data...), nil
}

// decode is encode's inverse. Numbers in maps come back as float64, or as json.Number where a float64 would lose digits.
func (c *codec) decode(k Key, data []byte) (any, error) {
	info, ok := kinds[k.Kind]
	switch {
	case !ok:
		return nil, fmt.Errorf("record %d/%s: unknown kind: %w", k.Kind, k.ID, errNewer)
	case len(data) == 0:
		return nil, fmt.Errorf("%s %s: the record is empty", info.name, k.ID)
	case data[0] > valueVersion:
		return nil, fmt.Errorf("%s %s: format %d, this one knows up to %d: %w", info.name, k.ID, data[0], valueVersion, errNewer)
	}
	if info.decode == nil {
		return append([]byte{}, data[1:]...), nil
	}
	v, err := info.decode(c, k.ID, data[1:])
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", info.name, k.ID, err)
	}
	return v, nil
}

// The stored form of a type with many fields is the same struct with zero fields left out: a third of the bytes, and no
// tags in packages that know no storage. Rev and Created live in the record's header.
var (
	storedNode    = stored(reflect.TypeFor[node.Node]())
	storedPort    = stored(reflect.TypeFor[inventory.Port]())
	storedChassis = stored(reflect.TypeFor[inventory.Chassis]())
)

func stored(t reflect.Type) reflect.Type {
	fields := make([]reflect.StructField, t.NumField())
	for i := range fields {
		f := t.Field(i)
		tag := f.Name + ",omitzero"
		if f.Name == "Rev" || f.Name == "Created" {
			tag = "-"
		}
		fields[i] = reflect.StructField{Name: f.Name, Type: f.Type, Tag: reflect.StructTag(`json:` + strconv.Quote(tag))}
	}
	return reflect.StructOf(fields)
}

func sealNode(c *codec, id string, v any) (any, error) {
	n := v.(*node.Node)
	if n.UUID != id {
		return nil, fmt.Errorf("its value is node %q", n.UUID)
	}
	n = n.Clone()
	for _, f := range nodeMaps(n) {
		sealed, err := c.seal.sealMap(id, f.name, *f.m)
		if err != nil {
			return nil, err
		}
		*f.m = sealed
	}
	if n.Intent != nil && len(n.Intent.Steps) > 0 {
		n.Intent.Steps = append([]node.StepSpec(nil), n.Intent.Steps...)
		for i := range n.Intent.Steps {
			sealed, err := c.seal.sealMap(id, stepPath(i), n.Intent.Steps[i].Args)
			if err != nil {
				return nil, err
			}
			n.Intent.Steps[i].Args = sealed
		}
	}
	return reflect.ValueOf(n).Elem().Convert(storedNode).Interface(), nil
}

func decodeNode(c *codec, id string, data []byte) (any, error) {
	n := &node.Node{}
	if err := unmarshal(data, n); err != nil {
		return nil, err
	}
	for _, f := range nodeMaps(n) {
		if err := c.open(id, f.name, *f.m); err != nil {
			return nil, err
		}
	}
	if n.Intent != nil {
		for i, s := range n.Intent.Steps {
			if err := c.open(id, stepPath(i), s.Args); err != nil {
				return nil, err
			}
		}
	}
	n.Driver, n.ResourceClass = c.words.intern(n.Driver), c.words.intern(n.ResourceClass)
	n.ConductorGroup, n.Owner.Name = c.words.intern(n.ConductorGroup), c.words.intern(n.Owner.Name)
	n.PowerState, n.ProvisionState = node.PowerState(c.words.intern(string(n.PowerState))), node.State(c.words.intern(string(n.ProvisionState)))
	for k, v := range n.Interfaces {
		n.Interfaces[c.words.intern(k)] = c.words.intern(v)
	}
	return n, nil
}

func stepPath(i int) string { return "Intent.Steps/" + strconv.Itoa(i) }

type namedMap struct {
	name string
	m    *map[string]any
}

// nodeMaps are the object fields of a node. Secrets are looked for in all of them: a field that should not hold one is
// where one is forgotten.
func nodeMaps(n *node.Node) []namedMap {
	return []namedMap{
		{"DriverInfo", &n.DriverInfo},
		{"Properties", &n.Properties},
		{"InstanceInfo", &n.InstanceInfo},
		{"Extra", &n.Extra},
		{"NetworkData", &n.NetworkData},
		{"DriverInternalInfo", &n.DriverInternalInfo},
		{"CleanStep", &n.CleanStep},
		{"DeployStep", &n.DeployStep},
		{"ServiceStep", &n.ServiceStep},
		{"RaidConfig", &n.RaidConfig},
		{"TargetRaidConfig", &n.TargetRaidConfig},
	}
}

func sealPort(c *codec, id string, v any) (any, error) {
	p := *v.(*inventory.Port)
	if p.UUID != id {
		return nil, fmt.Errorf("its value is port %q", p.UUID)
	}
	for _, f := range portMaps(&p) {
		sealed, err := c.seal.sealMap(id, f.name, *f.m)
		if err != nil {
			return nil, err
		}
		*f.m = sealed
	}
	return reflect.ValueOf(p).Convert(storedPort).Interface(), nil
}

func decodePort(c *codec, id string, data []byte) (any, error) {
	p := &inventory.Port{}
	if err := unmarshal(data, p); err != nil {
		return nil, err
	}
	for _, f := range portMaps(p) {
		if err := c.open(id, f.name, *f.m); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func portMaps(p *inventory.Port) []namedMap {
	return []namedMap{
		{"Extra", &p.Extra},
		{"InternalInfo", &p.InternalInfo},
		{"LocalLinkConnection", &p.LocalLinkConnection},
	}
}

func sealChassis(c *codec, id string, v any) (any, error) {
	x := *v.(*inventory.Chassis)
	if x.UUID != id {
		return nil, fmt.Errorf("its value is chassis %q", x.UUID)
	}
	var err error
	if x.Extra, err = c.seal.sealMap(id, "Extra", x.Extra); err != nil {
		return nil, err
	}
	return reflect.ValueOf(x).Convert(storedChassis).Interface(), nil
}

func decodeChassis(c *codec, id string, data []byte) (any, error) {
	x := &inventory.Chassis{}
	if err := unmarshal(data, x); err != nil {
		return nil, err
	}
	return x, c.open(id, "Extra", x.Extra)
}

func decodeInto[T any](_ *codec, _ string, data []byte) (any, error) {
	v := new(T)
	return v, unmarshal(data, v)
}

// unmarshal decodes JSON. Integers too long for a float64 stay as they are written (settleNumber); as most records hold
// none, most take the short way: encoding/json's rules by its successor's decoder, in half the time (ADR 8). Every member
// decodes every record that any of them writes.
func unmarshal(data []byte, v any) error {
	if !longNumber(data) {
		return jsonv1.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("%d bytes follow the end of the value, beginning with %q", len(rest), rest[:1])
	}
	return nil
}

// longNumber reports whether data has 16 digits in a row: no shorter integer loses any in a float64. Of 16 bytes in a row one
// has an index that 16 divides, so the others are looked at only where such a one is a digit.
func longNumber(data []byte) bool {
	for i := 0; i < len(data); i += 16 {
		if !digit(data[i]) {
			continue
		}
		first, end := i, i+1
		for first > 0 && digit(data[first-1]) {
			first--
		}
		for end < len(data) && digit(data[end]) {
			end++
		}
		if end-first >= 16 {
			return true
		}
	}
	return false
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// open unseals a freshly decoded map in place and settles its numbers and words.
func (c *codec) open(id, path string, m map[string]any) error {
	for k, v := range m {
		opened, err := c.openValue(id, path, k, v)
		if err != nil {
			return err
		}
		m[c.words.intern(k)] = opened // the key is the same; its bytes are shared with other records
	}
	return nil
}

func (c *codec) openValue(id, path, key string, v any) (any, error) {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, sealMark) {
			return c.seal.openString(id, joinPath(path, key), v)
		}
		return v, nil
	case json.Number:
		return settleNumber(v), nil
	case map[string]any:
		return v, c.open(id, joinPath(path, key), v)
	case []any:
		sub := joinPath(path, key)
		for i := range v {
			opened, err := c.openValue(id, sub, strconv.Itoa(i), v[i])
			if err != nil {
				return nil, err
			}
			v[i] = opened
		}
		return v, nil
	default:
		return v, nil
	}
}

// settleNumber gives a float64 as encoding/json would, unless that loses digits of an integer.
func settleNumber(n json.Number) any {
	f, err := n.Float64()
	if err != nil {
		return n
	}
	if len(n) > 15 && !strings.ContainsAny(string(n), ".eE") && strconv.FormatFloat(f, 'f', -1, 64) != string(n) {
		return n
	}
	return f
}
