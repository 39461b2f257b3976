// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is how eagerly dead members are noticed.
type Profile struct {
	ProbeInterval, ProbeTimeout  time.Duration
	SuspicionMult, SuspicionMost int // memberlist's SuspicionMult and SuspicionMaxTimeoutMult
}

// Profiles by name. Measured between processes of one machine, from SIGKILL to noticed: fast 1.1-1.2 s, mid 2.1-3.4 s,
// lan 5.2-6.2 s. A member may be paused for about 1 s (fast) or 2.5 s (mid) without being taken for dead.
var Profiles = map[string]Profile{
	"fast": {250 * time.Millisecond, 150 * time.Millisecond, 3, 2},
	"mid":  {500 * time.Millisecond, 250 * time.Millisecond, 3, 2},
	"lan":  {time.Second, 500 * time.Millisecond, 4, 6},
}

// DefaultProfile is for conductors of one site.
const DefaultProfile = "fast"

func profile(name string) (Profile, error) {
	if name == "" {
		name = DefaultProfile
	}
	p, ok := Profiles[name]
	if !ok {
		return Profile{}, fmt.Errorf("gossip profile is %q: wanted one of %s", name, strings.Join(slices.Sorted(maps.Keys(Profiles)), ", "))
	}
	return p, nil
}

func (p Profile) apply(c *memberlist.Config) {
	c.ProbeInterval, c.ProbeTimeout = p.ProbeInterval, p.ProbeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = p.SuspicionMult, p.SuspicionMost
	c.GossipInterval, c.PushPullInterval, c.TCPTimeout, c.RetransmitMult = 100*time.Millisecond, 10*time.Second, 2*time.Second, 4
}
