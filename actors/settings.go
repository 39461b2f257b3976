// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"time"

	"ferrite/node"
)

// Settings are what a running fleet may be told anew. Of Policy the fields that Update names are taken.
type Settings struct {
	SyncInterval  time.Duration // sync_power_state_interval; 0 = no power sync
	RecoveryEvery time.Duration // power_failure_recovery_interval; 0 = none
	LockRetry     time.Duration // S8: node_locked_retry_attempts x node_locked_retry_interval
	MaxWaiting    int           // requests that may wait for their nodes at once; 0 = 4096
	SubnetTopic   string        // see Config
	Policy        node.Policy
}

// Settings are those of now.
func (f *Fleet) Settings() Settings { return *f.live.Load() }

// policy is the one of now.
func (f *Fleet) policy() node.Policy { return f.live.Load().Policy }

// Update takes other settings, from the next message of each node on; an operation under way keeps what its intent says.
// The power sweep keeps its phases: a new interval counts for every node from now on, and no two readings come closer
// together for it. How long a permit lasts, hardware types and interfaces stay (S9, L4).
func (f *Fleet) Update(s Settings) {
	f.updating.Lock()
	defer f.updating.Unlock()
	if s.MaxWaiting <= 0 {
		s.MaxWaiting = defaultMaxWaiting
	}
	p, q := f.policy(), s.Policy
	p.MaxRetries, p.ForcePower, p.History = q.MaxRetries, q.ForcePower, q.History
	p.ChangeTimeout, p.SoftTimeout = q.ChangeTimeout, q.SoftTimeout
	p.AutomatedClean, p.DeleteAvailable, p.ProvisionMaintenance = q.AutomatedClean, q.DeleteAvailable, q.ProvisionMaintenance
	p.ResourceClass = q.ResourceClass
	s.Policy = p
	f.live.Store(&s)
	f.sweep.retime(s.SyncInterval, s.RecoveryEvery)
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, pid := range f.pids { // what takes part in the sweep may have changed
		f.system.Root.Send(pid, &retold{})
	}
}

// retold asks an actor to tell the sweep anew what it knows.
type retold struct{}

func (a *nodeActor) retold() {
	if a.n != nil && a.entry != nil {
		a.f.sweep.update(a.entry, a.n)
	}
}
