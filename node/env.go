// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha1" //nolint:gosec // names, not secrets: UUID version 5
	"encoding/binary"
	"fmt"
	"time"
)

// Policy is the configuration that rules depend on; keys bear Ironic's names (spec power.md section 10).
type Policy struct {
	MaxRetries           int           // power_state_sync_max_retries
	ForcePower           bool          // force_power_state_during_sync
	History              bool          // node_history
	ChangeTimeout        time.Duration // power_state_change_timeout
	SoftTimeout          time.Duration // soft_power_off_timeout
	AutomatedClean       bool          // automated_clean
	DeleteAvailable      bool          // allow_deleting_available_nodes
	ProvisionMaintenance bool          // allow_provisioning_in_maintenance
	ResourceClass        string        // default_resource_class
	HardwareTypes        []string      // enabled_hardware_types
	Groups               []string      // conductor_group of the live conductors; none = any group is served
	Enabled              map[string][]string
	Defaults             map[string]string
	Valid                time.Duration // S9: how long a permit lasts
}

// DefaultPolicy is Ironic's configuration, with our differences.
func DefaultPolicy() Policy {
	return Policy{
		MaxRetries: 3, ForcePower: true, History: true, ChangeTimeout: 60 * time.Second, SoftTimeout: 600 * time.Second,
		AutomatedClean: true, DeleteAvailable: true, ProvisionMaintenance: true,
		HardwareTypes: []string{"ipmi", "fake-hardware"}, Enabled: EnabledInterfaces(), Valid: 10 * time.Second,
	}
}

// Facts is what the node's driver says about it, computed by the caller before Step: pure, without asking the BMC.
type Facts struct {
	PowerInvalid      string         // why driver_info cannot work for power, "" = valid
	ManagementInvalid string         // likewise for management
	PowerTargets      []PowerState   // targets that the power interface takes
	PowerSync         bool           // the driver takes part in the power sync
	BootDevices       []string       // supported ones
	BootInvalid       string         // SetBootDevice: why it cannot be set so, "" = it can
	BootInternal      map[string]any // SetBootDevice: driver_internal_info as it must be stored, nil = unchanged
	CleanSteps        []StepSpec     // automated cleaning
}

// Env is all that a Step takes from the world: time, chance, settings and the driver's facts.
type Env struct {
	Now    time.Time
	Self   Owner  // this conductor: Name and Incarnation (Epoch is the node's matter)
	ID     string // fresh UUID: the operation's id; further ids are derived from it
	Meta   Meta
	Policy Policy
	Facts  Facts
	Quiet  bool // every permit of before the claim that Node.Fenced names has ended (S11)
}

// derive makes the k-th further UUID (version 5) of this step.
func (e Env) derive(k int) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(k))  //nolint:gosec // k counts up from 0
	h := sha1.Sum(append([]byte(e.ID), b[:]...)) //nolint:gosec // UUID version 5
	h[6] = h[6]&0x0f | 0x50
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
