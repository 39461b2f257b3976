// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ferrite/inventory"
	"ferrite/node"
)

var otherKey = bytes.Repeat([]byte{43}, KeySize)

// filled is a folder's store with nodes that have secrets, a port, history, a tombstone, a cursor and notifications.
func filled(t *testing.T, dir string, nodes int) *Raft {
	t.Helper()
	s, err := Open(Config{Dir: dir, Name: "c1", Key: goldenKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i := range nodes {
		uuid := fmt.Sprintf("44444444-0000-4000-8000-%012d", i)
		n := &node.Node{UUID: uuid, Name: fmt.Sprintf("n%d", i), DriverInfo: map[string]any{"ipmi_password": secretOf(i)}, Owner: node.Owner{Name: "c1", Epoch: uint64(i)}}
		p := &inventory.Port{UUID: fmt.Sprintf("55555555-0000-4000-8000-%012d", i), NodeUUID: uuid, Address: fmt.Sprintf("52:54:00:00:00:%02x", i)}
		nk, pk := Key{KindNode, uuid}, Key{KindPort, p.UUID}
		commit(t, s, Tx{If: []Cond{{Key: nk}}, Put: []Put{
			{Key: nk, Value: n, Uniq: []string{"name/" + n.Name}},
			{Key: pk, Value: p, Uniq: []string{"mac/" + p.Address}},
			{Key: Key{KindHistory, uuid + "/1"}, Value: &node.Entry{UUID: "e", Node: uuid, Event: "made"}},
		}, Events: []Event{{Subject: "made", Node: uuid, Body: []byte("{}")}}})
	}
	for k, v := range map[Key]any{
		{KindTombstone, "dead"}: &Tombstone{Epoch: 9}, {KindSetting, "cluster_id"}: []byte("old"), {KindSetting, "valid"}: []byte("10s"),
		{KindConductor, "c1"}: []byte("{}"), {KindConductor, "gone"}: []byte("{}"),
	} {
		commit(t, s, Tx{If: []Cond{{Key: k}}, Put: []Put{{Key: k, Value: v}}})
	}
	if err := s.SetCursor(t.Context(), "nats", 1, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

func secretOf(i int) string { return fmt.Sprintf("plain-secret-%d", i) }

func commit(t *testing.T, s Store, tx Tx) node.Rev {
	t.Helper()
	rev, err := s.Commit(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func backupOf(t *testing.T, s Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// L5: everything is there again, with epochs raised by 1000 and nothing of before told anew; and the log goes on.
func TestRestore(t *testing.T) {
	s := filled(t, t.TempDir(), 30)
	was := s.Applied()
	data := backupOf(t, s)
	for i := range 30 {
		if bytes.Contains(data, []byte(secretOf(i))) {
			t.Fatalf("the backup holds secret %d in clear", i)
		}
	}
	dir := filepath.Join(t.TempDir(), "new")
	out, err := Restore(bytes.NewReader(data), RestoreConfig{Dir: dir, Name: "c2", Keys: [][]byte{goldenKey}, Settings: map[string][]byte{"cluster_id": []byte("new")}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Records["node"] != 30 || out.Records["port"] != 30 || out.Records["history"] != 30 || out.Events != 30 || out.Secrets != 30 || out.Info.Rev != was || out.Rev != was+revJump {
		t.Errorf("the restore tells %+v", out)
	}
	if r, err := CheckDir(dir, [][]byte{goldenKey}, nil); err != nil || r.Err() != nil || r.Records["node"] != 30 {
		t.Errorf("the new folder: %+v, %v", r, err)
	}
	for round := range 2 { // the second start reads the log that the first wrote
		n, err := Open(Config{Dir: dir, Name: "c2", Key: goldenKey})
		if err != nil {
			t.Fatal(err)
		}
		checkRestored(t, s, n, out.Rev)
		extra := Key{KindSetting, fmt.Sprint("round", round)}
		rev := commit(t, n, Tx{If: []Cond{{Key: extra}}, Put: []Put{{Key: extra, Value: []byte("x")}}, Events: []Event{{Subject: "new"}}})
		if rev <= out.Rev {
			t.Errorf("round %d: a write after the restore has revision %d, wanted more than %d", round, rev, out.Rev)
		}
		events, err := n.Outbox(t.Context(), 0, -1, 100)
		if err != nil || len(events) != round+1 || events[0].Subject != "new" {
			t.Errorf("round %d: the outbox holds %d events (%v), wanted those of after the restore", round, len(events), err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkRestored(t *testing.T, old, s Store, from node.Rev) {
	t.Helper()
	old.Nodes(nil, func(want *node.Node) bool {
		got, ok := s.Node(want.UUID)
		if !ok {
			t.Errorf("node %s is gone", want.Name)
			return false
		}
		same := *got
		same.Owner.Epoch -= 1000
		if !reflect.DeepEqual(&same, want) {
			t.Errorf("node %s:\n got %+v\nwant %+v and an epoch of 1000 more", want.Name, got, want)
		}
		if k, _ := s.Holder("name/" + want.Name); k.ID != want.UUID {
			t.Errorf("the name of %s is held by %v", want.Name, k)
		}
		if len(s.PortsOf(want.UUID)) != 1 {
			t.Errorf("node %s has lost its port", want.Name)
		}
		return true
	})
	if s.Len(KindNode) != old.Len(KindNode) || s.Len(KindHistory) != old.Len(KindHistory) {
		t.Errorf("%d nodes and %d entries of history", s.Len(KindNode), s.Len(KindHistory))
	}
	if r, _ := s.Get(Key{KindTombstone, "dead"}); r.Value == nil || r.Value.(*Tombstone).Epoch != 1009 {
		t.Errorf("the tombstone is %+v", r.Value)
	}
	for id, want := range map[string]string{"cluster_id": "new", "valid": "10s"} {
		if r, _ := s.Get(Key{KindSetting, id}); string(r.Value.([]byte)) != want {
			t.Errorf("setting %s is %q, wanted %q", id, r.Value, want)
		}
	}
	if _, ok := s.Get(Key{KindConductor, "c1"}); ok || s.Len(KindConductor) != 0 {
		t.Error("conductors of the old cluster are still there")
	}
	if rev, _ := s.Cursor("nats"); rev < from {
		t.Errorf("the cursor is at %d, wanted the end, %d", rev, from)
	}
}

// A restore that is refused says why and leaves the folder as it was.
func TestRestoreRefuses(t *testing.T) {
	s := filled(t, t.TempDir(), 3)
	good := backupOf(t, s)
	want, _ := Fingerprint(goldenKey)
	have, _ := Fingerprint(otherKey)
	for name, c := range map[string]struct {
		data []byte
		key  []byte
		say  []string
	}{
		"wrong key": {good, otherKey, []string{want, have}},
		"cut":       {good[:len(good)-1], goldenKey, []string{"damaged at byte " + fmt.Sprint(len(good)-1)}},
		"half":      {good[:len(good)/2], goldenKey, []string{fmt.Sprintf("damaged at byte %d: it ends there", len(good)/2)}},
		"flipped":   {flip(good, len(good)/2), goldenKey, []string{"damaged at byte ", "checksum of the block"}},
		"sum":       {flip(good, len(good)-1), goldenKey, []string{"checksum of the whole"}},
		"head":      {flip(good, 30), goldenKey, []string{"damaged at byte 0", "its head"}},
		"longer":    {append(bytes.Clone(good), 0), goldenKey, []string{fmt.Sprintf("damaged at byte %d: something follows", len(good))}},
		"other":     {[]byte("PK\x03\x04 something else that is long enough"), goldenKey, []string{"not a backup of ferrite"}},
		"empty":     {nil, goldenKey, []string{"not a backup of ferrite"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, dir := range []string{filepath.Join(t.TempDir(), "new"), t.TempDir()} {
				before, _ := os.ReadDir(dir)
				_, err := Restore(bytes.NewReader(c.data), RestoreConfig{Dir: dir, Name: "c", Keys: [][]byte{c.key}})
				for _, say := range c.say {
					if err == nil || !strings.Contains(err.Error(), say) {
						t.Errorf("error %v, wanted it to say %q", err, say)
					}
				}
				after, _ := os.ReadDir(dir)
				if len(after) != len(before) {
					t.Errorf("left %v behind", after)
				}
			}
		})
	}
	for offset := range good {
		_, err := CheckBackup(bytes.NewReader(flip(good, offset)), nil, nil)
		if err == nil {
			t.Fatalf("a bit flipped at byte %d was not noticed", offset)
		}
		var d *BackupDamage
		if errors.As(err, &d) && d.Offset > int64(offset) && d.Offset < int64(len(good)-32) {
			t.Fatalf("a bit flipped at byte %d is told to be at %d", offset, d.Offset)
		}
	}
}

// A folder that is not empty is never restored into; one whose restore was killed is not opened, and can be done anew.
func TestRestoreFolders(t *testing.T) {
	s := filled(t, t.TempDir(), 3)
	data := backupOf(t, s)
	dir := t.TempDir()
	cfg := RestoreConfig{Dir: dir, Name: "c2", Keys: [][]byte{goldenKey}}
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(bytes.NewReader(data), cfg); err == nil || !strings.Contains(err.Error(), "not empty: it holds precious") {
		t.Errorf("a folder with a file: %v", err)
	}
	if err := os.Rename(file, folder(dir).unfinished()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "state-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	open := Config{Dir: dir, Name: "c2", Key: goldenKey}
	if n, err := Open(open); err == nil || !strings.Contains(err.Error(), "did not come to its end") {
		t.Fatalf("half a folder was opened: %v, %v", n, err)
	}
	if _, err := Restore(bytes.NewReader(data), cfg); err != nil {
		t.Fatal(err)
	}
	n, err := Open(open)
	if err != nil {
		t.Fatal(err)
	}
	if n.Len(KindNode) != 3 {
		t.Errorf("%d nodes", n.Len(KindNode))
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(bytes.NewReader(data), cfg); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a data folder in use was restored into: %v", err)
	}
}

// What a look finds is what is wrong, with its place.
func TestInspection(t *testing.T) {
	view := func(change func(tx kvTx)) *Report {
		r := goldenReplica(t)
		e, err := r.codec.prepare(goldenTx())
		if err != nil {
			t.Fatal(err)
		}
		r.apply([]logEntry{{rev: 7, data: e.encode()}})
		tx := r.store.begin()
		change(tx)
		var b bytes.Buffer
		if _, err := r.Backup(&b); err != nil {
			t.Fatal(err)
		}
		out, err := CheckBackup(&b, [][]byte{goldenKey}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const n, p = "33333333-0000-4000-8000-000000000001", "33333333-0000-4000-8000-000000000002"
	nk, pk := recordKey(Key{KindNode, n}), recordKey(Key{KindPort, p})
	for say, change := range map[string]func(tx kvTx){
		"":                              func(kvTx) {},
		"there is no such node":         func(tx kvTx) { _ = tx.del(nk) },
		"hangs on node":                 func(tx kvTx) { _ = tx.del(nk) },
		"node " + n + ": ":              func(tx kvTx) { v, _ := tx.get(nk); _ = tx.set(nk, v[:len(v)-2]) },
		"is of revision 7, but all":     func(tx kvTx) { _ = tx.set([]byte{keyApplied}, []byte{0, 0, 0, 0, 0, 0, 0, 6}) },
		`"mac/52:54:00:00:00:01" is he`: func(tx kvTx) { v, _ := tx.get(pk); _ = tx.set(recordKey(Key{KindPort, p + "x"}), v) },
		"holds the record of port":      func(tx kvTx) { v, _ := tx.get(pk); _ = tx.set(recordKey(Key{KindPort, p + "x"}), v) },
		"does not hold the unique key": func(tx kvTx) {
			v, _ := tx.get(pk)
			c, body, _ := decodeRecord(Key{KindPort, p}, v)
			c.uniq = nil
			_ = tx.set(pk, c.encode(body))
		},
		"nothing has such a key": func(tx kvTx) { _ = tx.set([]byte("zzz"), nil) },
	} {
		r := view(change)
		if say == "" && r.Err() != nil || say != "" && !slices.ContainsFunc(r.Problems, func(p string) bool { return strings.Contains(p, say) }) {
			t.Errorf("wanted %q, found %q", say, r.Problems)
		}
	}
}

// CheckDir finds damage in state, log and snapshots, and changes nothing.
func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	s := filled(t, dir, 20)
	if _, err := CheckDir(dir, nil, nil); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a folder in use: %v", err)
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	for _, keys := range [][][]byte{nil, {goldenKey}} {
		r, err := CheckDir(dir, keys, nil)
		if err != nil || r.Err() != nil || r.Records["node"] != 20 || r.Entries < 26 || r.Secrets != 20 || r.Opened != (keys != nil) {
			t.Fatalf("a good folder: %+v, %v", r, err)
		}
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("the look has changed the folder:\n%v\n%v", before, after)
	}
	if r, err := CheckDir(dir, [][]byte{otherKey}, nil); err != nil || r.Err() == nil || !strings.Contains(r.Problems[0], errWrongKeyText) {
		t.Errorf("another key: %+v, %v", r, err)
	}
	snap, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
	if err != nil || len(snap) != 1 {
		t.Fatal(snap, err)
	}
	data, err := os.ReadFile(snap[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(snap[0], flip(data, len(data)/2), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := CheckDir(dir, nil, nil)
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], filepath.Dir(snap[0])) || !strings.Contains(r.Problems[0], "damaged at byte") {
		t.Errorf("a damaged snapshot: %+v, %v", r, err)
	}
}

// listing is every file with its size and time.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.Walk(dir, func(path string, f os.FileInfo, err error) error {
		if err == nil {
			out = append(out, fmt.Sprint(path, f.Size(), f.ModTime().UnixNano()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
