// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"ferrite/node"
)

const (
	summaryClasses = 64 // classes told apart; the rest is one
	summaryNames   = 20 // nodes named of each kind of trouble
	otherClass     = "(others)"
	loginRefused   = "refused the login" // of package bmc/ipmi's errors
)

// summary is what operators ask first: how many nodes are in which state, which are in trouble, and what BMCs there are.
type summary struct {
	Conductor   string         `json:"conductor"`
	Nodes       int            `json:"nodes"`
	Power       map[string]int `json:"power_state"`
	Provision   map[string]int `json:"provision_state"`
	Maintenance map[string]int `json:"maintenance"` // by fault; "none" = set by a user
	Faults      []troubled     `json:"faults"`      // the first nodes in maintenance with a fault
	Quarantined int            `json:"quarantined"`
	Quarantine  []troubled     `json:"quarantine"` // the first of them
	Operations  int            `json:"operations"`
	Oldest      *held          `json:"oldest_operation"`
	Classes     []*class       `json:"classes"` // by driver, then vendor
}

// troubled is a node in trouble.
type troubled struct {
	Node string `json:"node_uuid"`
	Name string `json:"node_name"`
	Why  string `json:"why"`
}

// class is the nodes of one driver and vendor.
type class struct {
	Driver  string         `json:"driver"`
	Vendor  string         `json:"vendor"` // "" = not known yet
	Nodes   int            `json:"nodes"`
	Power   map[string]int `json:"power_state"`
	Failing int            `json:"failing"`       // power sync failed on them last time, retries are left
	GivenUp int            `json:"given_up"`      // in fault "power failure"
	Refused int            `json:"login_refused"` // whose last error is that the BMC refused the login
	Suites  map[string]int `json:"cipher_suites"` // as driver_info asks for; "" = found out
	Sample  *troubled      `json:"sample"`        // a node that is well, if any is; why is where its BMC is
	well    bool
}

// summarize is GET /v1/x/summary (P6): counts over all nodes, in one walk over the memory.
func summarize(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	if err := r.operator(); err != nil {
		return err
	}
	s := &summary{Conductor: r.s.cfg.Members.Self(), Power: map[string]int{}, Provision: map[string]int{}, Maintenance: map[string]int{}, Faults: []troubled{}, Quarantine: []troubled{}}
	classes := map[[2]string]*class{}
	var oldest *node.Node
	r.s.cfg.Reader.Nodes(nil, func(n *node.Node) bool {
		s.count(n)
		if n.Intent != nil {
			if s.Operations++; oldest == nil || n.Intent.Since.Before(oldest.Intent.Since) {
				oldest = n
			}
		}
		vendor, _ := n.Properties["vendor"].(string)
		key := [2]string{n.Driver, strings.ToLower(strings.TrimSpace(vendor))}
		if classes[key] == nil && len(classes) >= summaryClasses {
			key = [2]string{otherClass, ""}
		}
		if classes[key] == nil {
			classes[key] = &class{Driver: key[0], Vendor: key[1], Power: map[string]int{}, Suites: map[string]int{}}
		}
		classes[key].count(n)
		return true
	})
	if oldest != nil {
		h := heldBy(oldest)
		s.Oldest = &h
	}
	s.Classes = slices.SortedFunc(maps.Values(classes), func(a, b *class) int {
		return cmp.Or(cmp.Compare(a.Driver, b.Driver), cmp.Compare(a.Vendor, b.Vendor))
	})
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	r.json(http.StatusOK, append(r.buffer(), b...))
	return nil
}

func (s *summary) count(n *node.Node) {
	s.Nodes++
	s.Power[powerWord(n)]++
	s.Provision[string(n.ProvisionState)]++
	if n.Maintenance {
		s.Maintenance[cmp.Or(n.Fault, "none")]++
		if n.Fault != "" && len(s.Faults) < summaryNames {
			s.Faults = append(s.Faults, troubled{n.UUID, n.Name, n.Fault})
		}
	}
	if n.Quarantined != "" {
		if s.Quarantined++; len(s.Quarantine) < summaryNames {
			s.Quarantine = append(s.Quarantine, troubled{n.UUID, n.Name, n.Quarantined})
		}
	}
}

func (c *class) count(n *node.Node) {
	c.Nodes++
	c.Power[powerWord(n)]++
	if strings.Contains(n.LastError, loginRefused) {
		c.Refused++
	}
	well := false
	switch {
	case n.Fault == node.FaultPower:
		c.GivenUp++
	case n.SyncFails > 0:
		c.Failing++
	default:
		well = !n.Maintenance && n.LastError == ""
	}
	at := node.Endpoint(n)
	if at == "" {
		return
	}
	suite := ""
	if v, ok := n.DriverInfo["ipmi_cipher_suite"]; ok {
		b, err := json.Marshal(v)
		if err == nil {
			suite = strings.Trim(string(b), `" `)
		}
	}
	if len(c.Suites) < summaryClasses || c.Suites[suite] > 0 {
		c.Suites[suite]++
	}
	if c.Sample == nil || well && !c.well {
		c.Sample, c.well = &troubled{n.UUID, n.Name, at}, well
	}
}

func powerWord(n *node.Node) string { return cmp.Or(string(n.PowerState), "unknown") }
