// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ferrite/internal/doctor"
)

const areaBMC doctor.Area = "BMCs"

// sampled is what one BMC of a class answered.
type sampled struct {
	answer doctor.Answer
	err    error
}

// classes looks at the BMCs by driver and vendor.
func (e *examination) classes() {
	if e.fleet == nil {
		return
	}
	samples := make([]*sampled, len(e.fleet.Classes))
	if e.probe {
		ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		room := make(chan struct{}, 16)
		for i, c := range e.fleet.Classes {
			if c.Sample == nil {
				continue
			}
			wg.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				samples[i] = &sampled{}
				samples[i].answer, samples[i].err = doctor.Probe(ctx, c.Sample.Why)
			})
		}
		wg.Wait()
	}
	for i, c := range e.fleet.Classes {
		e.class(c, samples[i])
	}
}

// class judges one class: what its BMCs did for the conductor, and what the sample said.
func (e *examination) class(c nodeClass, s *sampled) {
	check := c.Driver
	if c.Vendor != "" {
		check += " / " + plain(c.Vendor)
	}
	if c.Sample == nil {
		e.add(areaBMC.OK(check, "%d nodes without a BMC's address", c.Nodes))
		return
	}
	vendor := c.Vendor
	if vendor == "" || len(vendor) > 32 { // as package actors names them in the metrics
		vendor = "unknown"
	}
	refused := e.metrics.Count("conductor_bmc_request_seconds_count", "vendor", vendor, "code", "auth")
	found := fmt.Sprintf("%d nodes, %d failing, %d given up, %d refuse the login (%d since the start)%s; suites: %s", c.Nodes, c.Failing, c.GivenUp, c.Refused, refused, e.latency(vendor), suitesAsked(c.Suites))
	name := cmp.Or(c.Sample.Name, c.Sample.Node)
	if s != nil && s.err == nil {
		found += fmt.Sprintf("; %s (%s) answers in %s, %s", plain(name), plain(c.Sample.Why), s.answer.Took.Round(10*time.Microsecond), suitesOffered(s.answer.Suites))
	}
	switch ipmi := s != nil && s.err == nil; {
	case s != nil && s.err != nil && c.GivenUp+c.Failing >= c.Nodes:
		e.add(areaBMC.Fail(check, found+"; "+plain(name)+" ("+plain(c.Sample.Why)+"): "+s.err.Error(), "a BMC that answers", "look at the network to it (UDP port 623), at its power and at driver_info"))
	case s != nil && s.err != nil:
		e.add(areaBMC.Warn(check, found+"; "+plain(name)+" ("+plain(c.Sample.Why)+"): "+s.err.Error(), "a BMC that answers a question without a session", "if the conductor can switch it, nothing; else look at the network from here to it"))
	case ipmi && !s.answer.IPMI2:
		e.add(areaBMC.Fail(check, found+"; it does not speak IPMI 2.0", "IPMI 2.0 (RMCP+)", "switch \"IPMI over LAN\" 2.0 on in the BMC, or bring its firmware up to date"))
	case ipmi && s.answer.Suites != nil && !slices.Contains(s.answer.Suites, 17) && !slices.Contains(s.answer.Suites, 3):
		e.add(areaBMC.Fail(check, found, "cipher suite 17 or 3: the others do not protect the session", "switch one of them on in the BMC"))
	case ipmi && slices.Contains(s.answer.Suites, 0):
		e.add(areaBMC.Warn(check, found, "no cipher suite 0: it lets anybody in without a password", "switch cipher suite 0 off in these BMCs"))
	case c.Refused > 0 || refused > 0:
		e.add(areaBMC.Warn(check, found, "no refused logins", "correct user and password in driver_info: \"ferrite node list --fields name,last_error\""))
	case (c.Failing+c.GivenUp)*10 > c.Nodes:
		e.add(areaBMC.Warn(check, found, "less than a tenth in trouble", "look at what these BMCs share: firmware, switch, credentials"))
	default:
		e.add(areaBMC.OK(check, "%s", found))
	}
}

// latency is how long the power readings of a vendor took, "" = there were none.
func (e *examination) latency(vendor string) string {
	const series = "conductor_bmc_request_seconds"
	labels := []string{"vendor", vendor, "op", "power status", "code", "ok"}
	half, ok := e.metrics.Quantile(0.5, series, labels...)
	most, _ := e.metrics.Quantile(0.99, series, labels...)
	if !ok {
		return ""
	}
	return fmt.Sprintf("; half of the readings within %s, 99 %% within %s", seconds(half), seconds(most))
}

// suitesAsked tells which cipher suites driver_info asks for.
func suitesAsked(counts map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if k == "" {
			parts = append(parts, fmt.Sprintf("found out (17, then 3) on %d", counts[k]))
		} else {
			parts = append(parts, fmt.Sprintf("%s on %d", plain(k), counts[k]))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func suitesOffered(list []int) string {
	if list == nil {
		return "does not tell its suites"
	}
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = strconv.Itoa(n)
	}
	return "offers suites " + strings.Join(parts, ",")
}
