// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ferrite/persistence"
)

// refused starts a member that must not come up, and returns why it did not.
func (c *crowd) refused(name string) string {
	c.t.Helper()
	s, err := persistence.Open(c.config(name, false))
	if err == nil {
		_ = s.Close()
		c.t.Fatalf("%s came up\n%s", name, c.logs)
	}
	c.mu.Lock()
	delete(c.live, name)
	c.mu.Unlock()
	return err.Error()
}

func recovered(t *testing.T, dir, name string) {
	t.Helper()
	if err := persistence.Recover(dir, name, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// The only voter is lost with what it alone held, and the other one's log is recovered; then the lost one comes back with its old
// folder, as a host does that boots by itself hours later.
func TestAFolderOfBeforeTheRecoveryIsRefused(t *testing.T) { // L4
	t.Parallel()
	c := newCrowd(t)
	c1, _ := c.join("c1", true), c.join("c2", false)
	c.commit(c1, putSetting("cluster_id", "old", 0))
	c.eventually("c2 has it", func() bool { return settingOf(c.of["c2"], "cluster_id") == "old" })
	c.leave("c2")
	for i := range 5 {
		c.commit(c1, putSetting("ghost"+string(rune('a'+i)), "x", 0))
	}
	c.leave("c1")
	recovered(t, c.dirs["c2"], "c2")
	c2 := c.join("c2", false)
	id := settingOf(c2, "cluster_id")
	if id == "old" || id == "" {
		t.Errorf("the recovered log is cluster %q", id)
	}
	rev := c.commit(c2, putSetting("a", "1", 0))

	for range 2 { // as often as its init system starts it
		if why := c.refused("c1"); !strings.Contains(why, "from before its recovery") || !strings.Contains(why, c.dirs["c1"]) || !strings.Contains(why, "move its data folder away") {
			t.Errorf("the old folder is refused with %q", why)
		}
	}
	c.eventually("the recovered one tells of it", func() bool {
		return strings.Contains(c.logs.String(), `msg="a conductor is refused" me=c2 name=c1`) && strings.Contains(c.logs.String(), "from before its recovery (cluster old;")
	})
	if m := c2.Members(t.Context()); len(m) != 1 || !m[0].Leader || settingOf(c2, "ghosta") != "" {
		t.Errorf("the recovered log has %+v and ghosta=%q", m, settingOf(c2, "ghosta"))
	}
	rev = c.commit(c2, putSetting("a", "2", rev))

	c.dirs["c1"] = "" // moved away
	for _, start := range []string{"first", "second"} {
		c1 = c.join("c1", false)
		c.eventually("it gets all", func() bool { return settingOf(c1, "a") == "2" })
		if got := settingOf(c1, "cluster_id"); got != id || settingOf(c1, "ghosta") != "" {
			t.Errorf("the %s start: cluster %q, wanted %q; ghosta=%q", start, got, id, settingOf(c1, "ghosta"))
		}
		if text, err := os.ReadFile(filepath.Join(c.dirs["c1"], "cluster.id")); err != nil || !strings.Contains(string(text), id) || !strings.Contains(string(text), `"old"`) {
			t.Errorf("its folder belongs to %s %v", text, err)
		}
		c.leave("c1")
	}
	c.commit(c2, putSetting("a", "3", rev))
}

// One that runs on with the old log is not disturbed; the recovered one does not start beside it, or two would command the same machines.
func TestARecoveredOneDoesNotStartBesideTheOldLog(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c1, _ := c.join("c1", true), c.join("c2", false)
	c.commit(c1, putSetting("cluster_id", "old", 0))
	c.eventually("c2 has it", func() bool { return settingOf(c.of["c2"], "cluster_id") == "old" })
	c.leave("c2")
	recovered(t, c.dirs["c2"], "c2")
	if why := c.refused("c2"); !strings.Contains(why, "c1 runs on with the log from before the recovery") {
		t.Errorf("the recovered one is refused with %q", why)
	}
	c.commit(c1, putSetting("a", "1", 0))
	c.leave("c1")
	if c2 := c.join("c2", false); settingOf(c2, "a") != "" {
		t.Error("the recovered log holds what the old one got")
	}
}

// Two of three come back with a log that they could go on with.
func TestAMajorityOfBeforeTheRecoveryIsRefused(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c1, c2, c3 := c.three()
	c.commit(c1, putSetting("cluster_id", "old", 0))
	c.eventually("all have it", func() bool { // one that had not applied it would be a prefix of the recovered log, and welcome
		return settingOf(c2, "cluster_id") == "old" && settingOf(c3, "cluster_id") == "old"
	})
	for _, name := range []string{"c1", "c2", "c3"} {
		c.leave(name)
	}
	recovered(t, c.dirs["c3"], "c3")
	recovered(t, c.dirs["c3"], "c3") // once more does no harm
	c3 = c.join("c3", false)
	why := make(chan string, 2)
	for _, name := range []string{"c1", "c2"} {
		cfg := c.config(name, false)
		go func() {
			s, err := persistence.Open(cfg)
			if err == nil {
				_ = s.Close()
				why <- "it came up"
				return
			}
			why <- err.Error()
		}()
	}
	for range 2 {
		if got := <-why; !strings.Contains(got, "from before its recovery (cluster old;") {
			t.Errorf("one of two: %s", got)
		}
	}
	c.commit(c3, putSetting("a", "1", 0))
}

// The folder of the one that began the log does not say whose it is; its log does.
func TestAFolderIsRecoveredUnderItsOwnNameOnly(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.three()
	for _, name := range []string{"c1", "c2", "c3"} {
		c.leave(name)
	}
	quiet := slog.New(slog.DiscardHandler)
	for _, row := range []struct{ of, as, want string }{
		{"c1", "cx", `belongs to conductor "c1", not to "cx"`},
		{"c1", "c2", `it is that of another conductor`},
		{"c2", "c1", `belongs to conductor "c2", not to "c1"`},
	} {
		if err := persistence.Recover(c.dirs[row.of], row.as, quiet); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("the folder of %s as %s: %v", row.of, row.as, err)
		}
	}
	recovered(t, c.dirs["c1"], "c1")
	if c1 := c.join("c1", false); len(c1.Members(t.Context())) != 1 {
		t.Error("the recovered log has more than one member")
	}
}

// A recovery that was killed is finished by another one, wherever it was.
func TestARecoveryThatWasKilled(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c1 := c.join("c1", true)
	c.commit(c1, putSetting("cluster_id", "old", 0))
	c.leave("c1")
	dir := c.dirs["c1"]
	if err := os.WriteFile(filepath.Join(dir, "RECOVERING"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if why := c.refused("c1"); !strings.Contains(why, `run "ferrite cluster recover" again`) {
		t.Errorf("half a recovery is refused with %q", why)
	}
	recovered(t, dir, "c1")
	c1 = c.join("c1", false)
	if id := settingOf(c1, "cluster_id"); id == "old" {
		t.Error("the log has its old id")
	}
	c.commit(c1, putSetting("a", "1", 0))
	c.leave("c1")
	file := filepath.Join(dir, "cluster.id")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[15] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if why := c.refused("c1"); !strings.Contains(why, file+" is damaged") {
		t.Errorf("a damaged cluster.id is refused with %q", why)
	}
}

// Who has another entry in the place of one of ours is not taken in, though its cluster is ours, and hears why.
func TestALogThatWentAnotherWayIsNotTakenIn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c1 := c.join("c1", true)
	rev := c.commit(c1, putSetting("a", "1", 0))
	heard := make(chan string, 64)
	for name, status := range map[string]map[string]any{
		"c8": {"Name": "c8", "ID": "c8#1", "Applied": rev, "Term": 77},
		"c9": {"Name": "c9", "ID": "c9#1", "Applied": rev + 1000000, "Term": 1},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		text, _ := json.Marshal(status)
		key := persistence.FingerprintOf(t, testKey)
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go member(conn, `{"Version":1,"Name":"`+name+`","ID":"`+name+`#1","Process":1,"Keys":["`+key+`"]}`, text, heard)
			}
		}()
		c.mu.Lock()
		c.at[name], c.live[name] = ln.Addr().String(), true
		c.mu.Unlock()
	}
	told := map[string]bool{}
	c.eventually("both hear why", func() bool {
		select {
		case why := <-heard:
			told[why[:2]] = strings.Contains(why, "their logs went different ways")
		default:
		}
		return told["c8"] && told["c9"]
	})
	if log := c.logs.String(); strings.Count(log, "a conductor is refused: its log is another one") != 2 || !strings.Contains(log, "of term 77") || strings.Contains(log, "joins the log") {
		t.Errorf("c1 says\n%s", log)
	}
	if m := c1.Members(t.Context()); slices.ContainsFunc(m, func(m persistence.Member) bool { return m.Name != "c1" }) {
		t.Errorf("members %+v", m)
	}
	c.mu.Lock()
	delete(c.live, "c8")
	delete(c.live, "c9")
	c.mu.Unlock()
}

// member speaks for a conductor: its hello, its status, and what it is refused for.
func member(conn net.Conn, hello string, status []byte, heard chan<- string) {
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return
	}
	_ = hear(conn)
	say(conn, hello)
	for {
		var top [13]byte
		if _, err := io.ReadFull(conn, top[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(top[:])-9)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		answer := status
		if top[12] == 5 {
			heard <- string(body)
			answer = nil
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(9+len(answer)))
		out = append(append(append(out, top[4:12]...), 0), answer...)
		_, _ = conn.Write(out)
	}
}
