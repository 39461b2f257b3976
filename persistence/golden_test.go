// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferrite/inventory"
	"ferrite/node"
)

var update = flag.Bool("update", false, "write the golden files of the present format anew")

var goldenKey = bytes.Repeat([]byte{42}, KeySize)

var goldenTime = time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)

// goldenTx has every kind of record and part. The golden files hold it as version 1 wrote it.
func goldenTx() Tx {
	yes := true
	n := &node.Node{
		UUID: "33333333-0000-4000-8000-000000000001", Name: "golden", Driver: "ipmi", AutomatedClean: &yes,
		DriverInfo: map[string]any{"ipmi_address": "10.0.0.1", "ipmi_password": "s3cret", "list": []any{map[string]any{"token": "t"}}},
		Extra:      map[string]any{"text": "ferrite-sealed:1:mine", "n": 1.5},
		Interfaces: map[string]string{"power": "ipmitool"}, Traits: []string{"CUSTOM_A"},
		PowerState: node.PowerOn, ProvisionState: node.Active, CreatedAt: goldenTime,
		Owner:  node.Owner{Name: "c1", Incarnation: 1<<63 + 1, Epoch: 3},
		Intent: &node.Intent{ID: "op", Verb: "power", Class: node.Repeat, Since: goldenTime, Timeout: time.Minute, Steps: []node.StepSpec{{Step: "s", Args: map[string]any{"password": "p"}}}},
	}
	p := &inventory.Port{UUID: "33333333-0000-4000-8000-000000000002", NodeUUID: n.UUID, Address: "52:54:00:00:00:01", PXEEnabled: true}
	key := func(k Kind, id string) Key { return Key{Kind: k, ID: id} }
	return Tx{
		If: []Cond{{Key: key(KindNode, n.UUID)}, {Key: key(KindSetting, "gone")}},
		Put: []Put{
			{Key: key(KindNode, n.UUID), Value: n, Uniq: []string{"name/golden"}},
			{Key: key(KindPort, p.UUID), Value: p, Uniq: []string{"mac/52:54:00:00:00:01"}},
			{Key: key(KindHistory, n.UUID+"/1"), Value: &node.Entry{UUID: "e", Node: n.UUID, CreatedAt: goldenTime, Severity: "INFO", Event: "made"}},
			{Key: key(KindTombstone, "dead"), Value: &Tombstone{Epoch: 9, Deleted: goldenTime}},
			{Key: key(KindSetting, "valid"), Value: []byte("10s")},
			{Key: key(KindCursor, "nats"), Value: encodeCursor(1, 2)},
			{Key: key(KindConductor, "c1"), Value: []byte("{}")},
		},
		Del:       []Key{key(KindSetting, "gone")},
		DelPrefix: []Key{key(KindHistory, "old/")},
		Events:    []Event{{Subject: "a.b", Node: n.UUID, Body: []byte(`{"x":1}`)}, {Subject: "a.c"}},
	}
}

func goldenReplica(t *testing.T) *replica {
	t.Helper()
	s, err := newSealer(goldenKey)
	if err != nil {
		t.Fatal(err)
	}
	return newReplica(newCodec(s), outboxBounds{}, newMemKV(), func(err error) { t.Errorf("storage: %v", err) })
}

// checkGolden holds a replica against goldenTx applied at revision 7.
func checkGolden(t *testing.T, r *replica) {
	t.Helper()
	for _, p := range goldenTx().Put {
		switch v := p.Value.(type) {
		case *node.Node:
			v.Rev, v.Created = 7, 7
		case *inventory.Port:
			v.Rev, v.Created = 7, 7
		}
		got, ok := r.Get(p.Key)
		if !ok || got.Rev != 7 || got.Created != 7 || !reflect.DeepEqual(got.Value, p.Value) {
			t.Errorf("%v:\n got %+v\nwant %+v", p.Key, got.Value, p.Value)
		}
		for _, u := range p.Uniq {
			if k, _ := r.Holder(u); k != p.Key {
				t.Errorf("%s is held by %v, wanted %v", u, k, p.Key)
			}
		}
	}
	events, err := r.readOutbox(0, -1, 10)
	if err != nil || len(events) != 2 {
		t.Fatalf("outbox %v, %v", events, err)
	}
	for i, e := range goldenTx().Events {
		if events[i].Subject != e.Subject || events[i].Node != e.Node || !bytes.Equal(events[i].Body, e.Body) || events[i].Rev != 7 || events[i].Index != i {
			t.Errorf("event %d: %+v", i, events[i])
		}
	}
	if q := r.queue.first(1)[0]; q.at != seconds(goldenTime) || q.size != uint32(len("a.b")+36+7) {
		t.Errorf("the outbox counts %+v", q)
	}
}

// L1: what version 1 wrote is read for ever. -update is for a new version's files, never for an old one's.
func TestGoldenEntry(t *testing.T) {
	const file = "testdata/entry-v1.bin"
	r := goldenReplica(t)
	if *update {
		e, err := r.codec.prepare(goldenTx())
		if err != nil {
			t.Fatal(err)
		}
		e.id, e.at = txid{1, 2, 3}, goldenTime.UnixNano()
		if err := os.WriteFile(file, e.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out := r.apply([]logEntry{{rev: 7, data: data}})[0]; out.err != nil || out.rev != 7 {
		t.Fatalf("apply: %+v", out)
	}
	checkGolden(t, r)
	if c := r.lookup(Key{KindSetting, "valid"}); c.born != (txid{1, 2, 3}) || c.last != c.born {
		t.Errorf("the record keeps the ids %x and %x", c.born, c.last)
	}
}

// L1: backups of every version are read and restored.
func TestGoldenBackup(t *testing.T) {
	if *update {
		r := goldenReplica(t)
		e, err := r.codec.prepare(goldenTx())
		if err != nil {
			t.Fatal(err)
		}
		e.at = goldenTime.UnixNano()
		r.apply([]logEntry{{rev: 7, data: e.encode()}})
		if err := os.WriteFile(fmt.Sprintf("testdata/backup-v%d.bin", backupVersion), backupOf(t, &Memory{replica: r}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for version := 1; version <= backupVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { checkGoldenBackup(t, version) })
	}
}

func checkGoldenBackup(t *testing.T, version int) {
	data, err := os.ReadFile(fmt.Sprintf("testdata/backup-v%d.bin", version))
	if err != nil {
		t.Fatal(err)
	}
	store := newMemKV()
	tx := store.begin()
	rev, err := readBackup(bytes.NewReader(data), tx.set)
	if err != nil || rev != 7 {
		t.Fatalf("readBackup: revision %d, %v", rev, err)
	}
	r := goldenReplica(t)
	l, err := r.load(store)
	if err != nil || l.applied != 7 {
		t.Fatalf("load: applied %+v, %v", l, err)
	}
	r.adopt(store, l)
	checkGolden(t, r)

	report, err := CheckBackup(bytes.NewReader(data), [][]byte{goldenKey}, nil)
	if err != nil || report.Err() != nil || report.Info.Format != version || report.Secrets != 3 || report.Events != 2 {
		t.Errorf("CheckBackup: %+v, %v", report, err)
	}
	if _, err := Restore(bytes.NewReader(data), RestoreConfig{Dir: t.TempDir(), Name: "c", Keys: [][]byte{otherKey}}); !errors.Is(err, errWrongKey) {
		t.Errorf("restored with another key: %v", err)
	}
	dir := t.TempDir()
	if _, err := Restore(bytes.NewReader(data), RestoreConfig{Dir: dir, Name: "c", Keys: [][]byte{goldenKey}}); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Dir: dir, Name: "c", Key: goldenKey})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, ok := s.Node(goldenTx().Put[0].ID); !ok || n.DriverInfo["ipmi_password"] != "s3cret" || n.Owner.Epoch != 1003 || n.Intent == nil {
		t.Errorf("restored as %+v", n)
	}

	for name, bad := range map[string][]byte{
		"cut":     data[:len(data)-1],
		"shorter": data[:len(data)/2],
		"flipped": flip(data, len(data)/2),
		"sum":     flip(data, len(data)-1),
		"other":   []byte("something else that is long enough for a head"),
	} {
		if _, err := readBackup(bytes.NewReader(bad), newMemKV().begin().set); err == nil {
			t.Errorf("a backup that is %s was read", name)
		}
	}
}

// L1: a data folder of before keys had fingerprints is opened: state, log and key check.
func TestGoldenFolder(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/folder-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var files []struct {
		Name   string
		Size   int64
		Blocks map[string][]byte // by decimal offset; the rest is zero
	}
	if err := json.Unmarshal(data, &files); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for at, b := range file.Blocks {
			offset, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(b, offset); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Truncate(file.Size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := CheckDir(dir, [][]byte{goldenKey}, nil); err != nil || r.Err() != nil || r.Secrets != 3 {
		t.Errorf("CheckDir: %+v, %v", r, err)
	}
	if s, err := Open(Config{Dir: dir, Name: "c1", Key: otherKey}); err == nil || !errors.Is(err, errWrongKey) {
		t.Fatalf("opened with another key: %v, %v", s, err)
	}
	s, err := Open(Config{Dir: dir, Name: "c1", Key: goldenKey, OutboxMaxAge: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, p := range goldenTx().Put {
		got, ok := s.Get(p.Key)
		switch v := p.Value.(type) {
		case *node.Node:
			v.Rev, v.Created = got.Rev, got.Created
		case *inventory.Port:
			v.Rev, v.Created = got.Rev, got.Created
		}
		if !ok || !reflect.DeepEqual(got.Value, p.Value) {
			t.Errorf("%v:\n got %+v\nwant %+v", p.Key, got.Value, p.Value)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// L1: what is newer stops the store, and says so.
func TestNewerFormats(t *testing.T) {
	good, err := goldenReplica(t).codec.prepare(goldenTx())
	if err != nil {
		t.Fatal(err)
	}
	value := *good
	value.puts = append([]entryPut(nil), good.puts...)
	value.puts[0].data = append([]byte{valueVersion + 1}, good.puts[0].data[1:]...)
	kind := *good
	kind.puts = append([]entryPut(nil), good.puts...)
	kind.puts[0].key.Kind = 99
	next := good.encode()
	next[0] = entryVersion + 1
	for name, data := range map[string][]byte{"entry": next, "value": value.encode(), "kind": kind.encode(), "damaged": good.encode()[:100]} {
		r := goldenReplica(t)
		out := r.apply([]logEntry{{rev: 1, data: data}, {rev: 2, data: good.encode()}})
		for i, o := range out {
			if o.err == nil || o.rev != 0 {
				t.Errorf("%s: entry %d: %+v, wanted an error", name, i, o)
			}
		}
		if newer := errors.Is(out[0].err, errNewer); newer != (name != "damaged") || !strings.Contains(out[0].err.Error(), "log entry 1") {
			t.Errorf("%s: %v", name, out[0].err)
		}
		if r.Applied() != 0 || r.stopped() == nil || r.Len(KindNode) != 0 {
			t.Errorf("%s: applied %d, %d nodes, stopped %v", name, r.Applied(), r.Len(KindNode), r.stopped())
		}
	}
}
