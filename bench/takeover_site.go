// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// site is a cluster of real processes with simulated BMCs.
type site struct {
	ctx   context.Context
	cfg   TakeoverConfig
	crew  crew
	net   string // like 127.0.60.
	setup [members]setup
	at    [members]*helper
	http  *http.Client
}

func name(i int) string { return fmt.Sprintf("c%d", i+1) }

// newSite starts everything and waits until all nodes are in the sweep and confirmed.
func newSite(ctx context.Context, cfg TakeoverConfig) (*site, error) {
	s := &site{ctx: ctx, cfg: cfg, crew: crew{ctx: ctx, self: cfg.Self}, http: &http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
	}}
	port, err := freeUDP()
	if err != nil {
		return nil, err
	}
	cfg.say("starting %d BMCs", cfg.Nodes)
	if _, err := s.crew.hire(setup{Kind: "sim", BMCs: cfg.Nodes, Port: port, Sessions: slots}); err != nil {
		return s, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return s, err
	}
	s.net = fmt.Sprintf("127.0.%d.", 100+os.Getpid()%100)
	var join []string
	for i := range members {
		join = append(join, net.JoinHostPort(s.host(i), "7946"))
	}
	cfg.say("starting %d conductors at %s1 and up", members, s.net)
	for i := range members {
		s.setup[i] = setup{
			Kind: "member", Name: name(i), Dir: filepath.Join(cfg.Dir, name(i)), Port: port, Interval: cfg.Interval, Host: s.host(i), Join: join, Key: key,
			Profile: cfg.Profile,
		}
		if s.at[i], err = start(ctx, cfg.Self, s.setup[i]); err != nil {
			return s, err
		}
	}
	for _, h := range s.at {
		if err := h.ready(); err != nil {
			return s, err
		}
	}
	cfg.say("storing %d nodes", cfg.Nodes)
	if _, err := s.at[0].ask(request{Do: "seed", N: cfg.Nodes}); err != nil {
		return s, err
	}
	return s, s.settle()
}

func (s *site) host(i int) string { return s.net + fmt.Sprint(i+1) }

func (s *site) url(i int) string { return "http://" + net.JoinHostPort(s.host(i), "6385") }

func (s *site) close() {
	for _, h := range s.at {
		if h != nil {
			h.fire()
		}
	}
	s.crew.goHome()
}

// sweep sums up the members but one: nodes that they have, the fewest that one has, and nodes that were confirmed.
func (s *site) sweep(but int, do string) (nodes, fewest, seen int, leader string, err error) {
	fewest = s.cfg.Nodes
	for i, h := range s.at {
		if i == but {
			continue
		}
		a, err := h.ask(request{Do: do})
		if err != nil {
			return 0, 0, 0, "", err
		}
		nodes, fewest, seen, leader = nodes+a.Count, min(fewest, a.Count), seen+a.Seen, a.Text
	}
	return nodes, fewest, seen, leader, nil
}

// settle waits until each node is confirmed by its one owner.
func (s *site) settle() error {
	s.cfg.say("waiting until all nodes are shared out and in the sweep")
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		nodes, fewest, seen, _, err := s.sweep(-1, "sweep")
		if err != nil {
			return err
		}
		if nodes == s.cfg.Nodes && seen >= s.cfg.Nodes && fewest >= s.cfg.Nodes/members/2 { // who has just come has its share
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("of %d nodes %d are with a conductor and %d in the sweep after five minutes", s.cfg.Nodes, nodes, seen)
		}
		s.cfg.step(min(seen, s.cfg.Nodes-1), s.cfg.Nodes)
	}
}

// get asks a member's API.
func (s *site) get(i int, path string, into any) error {
	_, err := s.ask(i, http.MethodGet, path, "", into)
	return err
}

func (s *site) ask(i int, method, path, body string, into any) (int, error) {
	q, err := http.NewRequestWithContext(s.ctx, method, s.url(i)+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
	q.Header.Set("Content-Type", "application/json")
	r, err := s.http.Do(q)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return r.StatusCode, err
	}
	if r.StatusCode != http.StatusOK {
		return r.StatusCode, fmt.Errorf("%s %s: %s: %.200s", method, path, r.Status, b)
	}
	if into != nil {
		err = json.Unmarshal(b, into)
	}
	return r.StatusCode, err
}

// owned lists nodes that belong to a member: those that will be lost with it. Some are to be written to, others to be in the middle
// of an operation.
func (s *site) owned(i int) (written, busy []string, err error) {
	var out []string
	marker := ""
	for len(out) < s.cfg.Sample+openIntents {
		var list struct {
			Nodes []struct {
				UUID string `json:"uuid"`
			} `json:"nodes"`
		}
		if err := s.get(i, "/v1/nodes?fields=uuid&limit=1000&conductor="+name(i)+marker, &list); err != nil {
			return nil, nil, err
		}
		for _, n := range list.Nodes {
			out = append(out, n.UUID)
		}
		if len(list.Nodes) < 1000 {
			break
		}
		marker = "&marker=" + list.Nodes[len(list.Nodes)-1].UUID
	}
	if len(out) == 0 {
		return nil, nil, fmt.Errorf("%s owns nothing", name(i))
	}
	written = out[:min(len(out), s.cfg.Sample)]
	return written, out[len(written):min(len(out), len(written)+openIntents)], nil
}
