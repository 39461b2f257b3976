// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keyboard gives single keys, without Enter; Ctrl-C stays what it is.
type keyboard struct {
	once sync.Once
	was  *unix.Termios // nil = no terminal
}

// listen puts the terminal into that mode; nil = there is none.
func (k *keyboard) listen() <-chan byte {
	fd := int(os.Stdin.Fd()) //nolint:gosec // a descriptor
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil
	}
	now := *was
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &now); err != nil {
		return nil
	}
	k.was = was
	keys := make(chan byte)
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := os.Stdin.Read(b); err != nil || n == 0 {
				return
			}
			keys <- b[0]
		}
	}()
	return keys
}

// restore puts the terminal back as it was.
func (k *keyboard) restore() {
	k.once.Do(func() {
		if k.was != nil {
			_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, k.was) //nolint:gosec // a descriptor
		}
	})
}

// watchCluster shows the members and does what keys ask for, until ctx ends, --for is over or a part has failed.
func (d *demo) watchCluster(ctx context.Context) error {
	c := d.cluster
	every := statusLines
	if d.screen.Live() {
		every = statusLive
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	over, kill, back := after(d.o.ends), after(d.o.killAfter), make(<-chan time.Time)
	keys := d.keys.listen()
	for {
		d.screen.Status(c.line(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case <-kill:
			c.kill(ctx, "")
			back = after(d.o.killAfter)
		case <-back:
			c.restart("")
		case err := <-c.failed:
			return err
		case err := <-d.failed:
			return err
		case key := <-keys:
			switch {
			case key == 'k':
				c.kill(ctx, "")
			case key == 'r':
				c.restart("")
			case key == 'q':
				return nil
			case key >= '1' && int(key-'0') <= len(c.members):
				if m := c.members[key-'1']; m.alive() {
					c.kill(ctx, m.name)
				} else {
					c.restart(m.name)
				}
			}
		case <-ticker.C:
		}
	}
}

// after is time.After that never comes for 0.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return make(chan time.Time)
	}
	return time.After(d)
}

// line is members with their nodes, what may be lost, and the last takeover.
func (c *demoCluster) line(ctx context.Context) string {
	s := c.status(ctx)
	if s == nil {
		return "no conductor answers: r starts them"
	}
	var parts []string
	for _, m := range s.Members {
		part := m.Name + " " + m.Role + " " + count(m.Nodes, "node")
		if m.State != "alive" {
			part = m.Name + " " + m.State
		}
		parts = append(parts, plain(part))
	}
	safe := fmt.Sprintf("may lose %d more", s.Survives)
	if !s.Quorum {
		safe = "no quorum"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	parts = append(parts, count(s.Nodes, "node"), safe)
	if c.takeover != "" {
		parts = append(parts, "taken over: "+c.takeover)
	}
	return strings.Join(parts, " | ")
}

// addresses are those of all conductors.
func (c *demoCluster) addresses() (out [][2]string) {
	for _, m := range c.members {
		out = append(out, [2]string{m.name, fmt.Sprintf("http://%s  nats://%s  process %d", m.api, m.nats, m.pid)})
	}
	return out
}

// introduce says how to kill.
func (c *demoCluster) introduce() {
	d := c.d
	d.say("Any conductor answers for all. Which ones there are, and whose a machine is:")
	api := flagUnless("--api", "http://"+c.members[1].api, "http://127.0.0.1:6385")
	d.say("  %s cluster members --watch%s", self(), api)
	d.say("  %s cluster owners %s%s", self(), demoName(0), api)
	d.say("")
	if _, _, typed := terminal(os.Stdin); typed {
		d.say("Keys: %s kills the log's leader, %s starts what was killed, %s to %s kills that one or starts it, %s ends.",
			d.colour.paint(bold, "k"), d.colour.paint(bold, "r"), d.colour.paint(bold, "1"), d.colour.paint(bold, fmt.Sprint(len(c.members))), d.colour.paint(bold, "q"))
	}
}
