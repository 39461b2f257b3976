// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"net"
	"strings"
	"testing"

	"ferrite/persistence"
)

// greeted sends a hello to a member and returns what it answers.
func (c *crowd) greeted(name, hello string) string {
	c.t.Helper()
	c.mu.Lock()
	at := c.at[name]
	c.mu.Unlock()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, _ = conn.Write([]byte{'c'})
	say(conn, hello)
	return hear(conn)
}

// opened starts a member beside the test.
func opened(cfg persistence.Config) <-chan error {
	ended := make(chan error, 1)
	go func() {
		s, err := persistence.Open(cfg)
		if err == nil {
			_ = s.Close()
		}
		ended <- err
	}()
	return ended
}

const another = `{"Version":99,"Name":"c9","ID":"c9#1","Process":1}`

// A newcomer of another version ends: nobody will take it in. Who is asked again and again tells of it once.
func TestANewcomerOfAnotherVersionEnds(t *testing.T) { // L1
	t.Parallel()
	c := newCrowd(t)
	c.join("c1", true)
	for range 5 {
		if got := c.greeted("c1", another); !strings.Contains(got, "speaks version 99") {
			t.Errorf("the caller hears %s", got)
		}
	}
	if n := strings.Count(c.logs.String(), `msg="a conductor is refused" me=c1`); n != 1 {
		t.Errorf("%d lines, wanted one\n%s", n, c.logs)
	}
	ended := opened(newcomer(c))
	var err error
	c.eventually("c2 ends", func() bool {
		c.greeted("c2", another)
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	if err == nil || !strings.Contains(err.Error(), "c9 speaks version 99 of the log's protocol") || !strings.Contains(err.Error(), "upgrade the older one") {
		t.Errorf("it ends with %v", err)
	}
}

// newcomer is c2, which nobody hears of.
func newcomer(c *crowd) persistence.Config {
	cfg := c.config("c2", false)
	c.mu.Lock()
	delete(c.live, "c2")
	c.mu.Unlock()
	return cfg
}

// A member of the log waits: the one that refuses it may be the next one to be upgraded.
func TestAMemberWaitsForTheOthersToBeUpgraded(t *testing.T) { // L1
	t.Parallel()
	c := newCrowd(t)
	c.three()
	for _, name := range []string{"c1", "c2", "c3"} {
		c.leave(name)
	}
	cfg := c.config("c2", false)
	stop := make(chan struct{})
	cfg.Net.Stop = stop
	ended := opened(cfg)
	c.eventually("c2 refuses the other version", func() bool { return strings.Contains(c.greeted("c2", another), "speaks version 99") })
	asked := 0
	c.eventually("c2 is asked by others again and again", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		c.greeted("c2", another)
		asked++
		return asked == 50
	})
	close(stop)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "1 of 3 voters are here") {
		t.Errorf("it waited for something else: %v", err)
	}
}

// A folder of another cluster whose own members do not come ends, among strangers; it says whose it is.
func TestAFolderAmongStrangersEnds(t *testing.T) { // L4
	t.Parallel()
	b := newCrowd(t)
	b1, _, _ := b.three()
	b.commit(b1, putSetting("cluster_id", "theirs", 0))
	b.eventually("all have it", func() bool { return settingOf(b.of["c2"], "cluster_id") == "theirs" })
	for _, name := range []string{"c1", "c2", "c3"} {
		b.leave(name)
	}
	c := newCrowd(t)
	d1 := c.join("d1", true)
	c.commit(d1, putSetting("cluster_id", "ours", 0))
	c.dirs["c2"] = b.dirs["c2"]
	if why := c.refused("c2"); !strings.Contains(why, "d1 refuses this conductor") || !strings.Contains(why, "to cluster theirs") && !strings.Contains(why, "belongs to cluster theirs") {
		t.Errorf("it ends with %q", why)
	}
	if m := d1.Members(t.Context()); len(m) != 1 {
		t.Errorf("members %+v", m)
	}
}
