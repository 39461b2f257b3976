// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"ferrite/internal/doctor"
	"ferrite/internal/hostrange"
)

const areaConductor doctor.Area = "conductor"

// conductor asks the running conductor, if there is one.
func (e *examination) conductor() {
	began := time.Now()
	status, body, err := e.api.get(e.ctx, "/readyz")
	took := time.Since(began)
	where := e.api.base.String()
	switch {
	case err != nil:
		e.absent(where, err)
		return
	case status == http.StatusOK && strings.TrimSpace(string(body)) == "ready":
		e.up = true
		e.add(areaConductor.OK("ready", "%s answers in %s", where, took.Round(10*time.Microsecond)))
	case status == http.StatusServiceUnavailable:
		e.up = true
		e.add(areaConductor.Fail("ready", where+" is not ready: "+clip(string(body)), "200 of /readyz", "see the conductor's log; it says so while it starts, ends or has no quorum"))
	default:
		e.add(areaConductor.Fail("ready", fmt.Sprintf("%s answers /readyz with %d: it is no conductor", where, status), "a conductor's API", "correct --api, or stop what holds the port"))
		return
	}
	if e.pid == 0 && e.api.derived {
		if p := doctor.Look(e.cfg.APIListen); strings.HasPrefix(p.Command, "ferrite") {
			e.pid = p.PID
			e.add(areaConductor.Warn("data folder", fmt.Sprintf("the conductor (process %d) does not use %s", e.pid, e.cfg.DataDir), "the data folder of the conductor that runs", "give doctor the same --config, flags and environment"))
		}
	}
	e.figures()
	e.readings()
	e.members()
	e.nodes()
}

// absent is what there is to say without an answer.
func (e *examination) absent(where string, err error) {
	switch {
	case e.pid != 0 && e.api.derived:
		e.add(areaConductor.Fail("ready", fmt.Sprintf("process %d uses %s, but %s does not answer: %v", e.pid, e.cfg.DataDir, where, err), "an API that answers", "give doctor the conductor's settings; if they are these, see its log"))
	case errors.Is(err, syscall.ECONNREFUSED):
		e.add(areaConductor.Warn("ready", "no conductor runs at "+where+": what only it knows is left out", "a conductor that runs", "\"systemctl start ferrite\", \"ferrite serve\", or say --api"))
	default:
		e.add(areaConductor.Fail("ready", where+": "+err.Error(), "an API that answers", "correct --api, or look at the network and at the certificate (--ca-file)"))
	}
}

func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

// figures looks at what /metrics tells.
func (e *examination) figures() {
	status, body, err := e.api.get(e.ctx, "/metrics")
	if err == nil && status == http.StatusOK {
		e.metrics, err = doctor.ReadMetrics(bytes.NewReader(body))
	}
	if err != nil || e.metrics == nil {
		e.add(areaConductor.Warn("figures", fmt.Sprintf("/metrics: %d %v", status, err), "figures to judge by", "look at the log"))
		return
	}
	m := e.metrics
	running, name := m.Label("conductor_info", "version"), m.Label("conductor_info", "name")
	if running == version {
		e.add(areaConductor.OK("version", "%s is %s, as this binary", name, running))
	} else {
		e.add(areaConductor.Warn("version", fmt.Sprintf("%s is %s, this binary is %s", name, running, version), "the same", "restart the conductor to take the new binary into use"))
	}
	if e.valid && e.api.derived && name != e.cfg.Name {
		e.add(areaConductor.Warn("settings", fmt.Sprintf("the conductor is %q, by these settings it would be %q", name, e.cfg.Name), "the settings of the conductor that runs", "give doctor the same --config, flags and environment"))
	}
	e.backlog()
	e.replica()
	e.rates()
	for _, r := range figureRows {
		if n := m.Count(r.series); n > 0 {
			f := areaConductor.Warn(r.check, fmt.Sprintf(r.found, n), "none", r.do)
			if r.grave {
				f.Status = doctor.Fail
			}
			e.add(f)
		}
	}
}

// figureRows are counts that should be 0.
var figureRows = []struct {
	check, series, found, do string
	grave                    bool
}{
	{"disk", "conductor_disk_low", "changes are refused for want of room (%d)", "make room in the data folder's file system; it heals by itself", true},
	{"lost notifications", "conductor_notify_dropped_total", "%d were dropped from the full outbox since the start", "consumers must read the nodes anew; raise outbox_max_mb", false},
	{"refused notifications", "conductor_notify_refused_total", "%d were too big for NATS since the start", "raise max_payload there", false},
	{"overload", "conductor_requests_shed_total", "%d requests were refused since the start because too many waited", "look at what clients do, then at max_waiting_requests and the disk", false},
	{"own failures", "conductor_bmc_engine_failures_total", "%d failures of the IPMI engine's code since the start", "a bug: keep the log and report it (ferrite support-bundle)", false},
	{"network", "conductor_bmc_socket_errors_total", "%d errors of receiving from BMCs since the start", "look at the log and at \"ip -s link\"", false},
	{"subnets", "conductor_bmc_subnets_down", "%d subnets of BMCs fail as a whole: their nodes are frozen", "look at switch, route and firewall; the log names them", true},
	{"shared BMCs", "conductor_bmc_shared_nodes", "%d nodes have the BMC address of another", "correct driver_info: operations on one drive the other too", false},
	{"logins", "conductor_bmc_logins_refused_total", "%d logins were refused by BMCs since the start", "correct user and password in driver_info, or unlock the account; such a BMC is left alone for 5 minutes", false},
}

// backlog looks at what waits to be told.
func (e *examination) backlog() {
	const long = 60
	waiting, lag := e.metrics.Count("conductor_notify_outbox"), e.metrics.Count("conductor_notify_lag_seconds")
	up, _ := e.metrics.Value("conductor_notify_up")
	publishes, publisher := e.metrics.Value("conductor_notify_publisher")
	found := fmt.Sprintf("%d events wait for NATS or Nova", waiting)
	if publisher && publishes == 0 {
		found += "; another conductor, the leader of the log, tells them"
	}
	switch {
	case publishes == 1 && up == 0 && waiting > 0:
		e.add(areaConductor.Fail("outbox", found+", and NATS confirms nothing", "NATS to confirm what it is given", "look at NATS and nats_url; operations go on meanwhile"))
	case lag > long:
		e.add(areaConductor.Warn("outbox", fmt.Sprintf("%s, for %d s", found, lag), "an outbox that empties", "look at NATS and Nova"))
	default:
		e.add(areaConductor.OK("outbox", "%s", found))
	}
	if p99, ok := e.metrics.Quantile(0.99, "conductor_power_age_seconds"); ok && p99 > 300 {
		e.add(areaConductor.Warn("power sync", "more than 1 % of the power states are older than 5 minutes", "each confirmed every "+e.cfg.SyncInterval.String(), "look at the CPU and at the BMC classes below"))
	} else if ok {
		e.add(areaConductor.OK("power sync", "99 %% of the power states are younger than %s", seconds(p99)))
	}
}

// seconds is a bound of a histogram for people.
func seconds(s float64) string {
	if math.IsInf(s, 1) {
		return "longer than is counted"
	}
	return time.Duration(s * float64(time.Second)).String()
}

// replica looks at the log: who leads, how far this conductor's copy is behind, and how many may be lost.
func (e *examination) replica() {
	m := e.metrics
	voters, known := m.Value("conductor_raft_voters")
	if !known {
		return // of an older version
	}
	lag, silence := m.Count("conductor_raft_lag_entries"), m.Count("conductor_raft_contact_age_seconds")
	role := "follows"
	if m.Count("conductor_raft_leader") == 1 {
		role = "leads"
	}
	found := fmt.Sprintf("%s in term %d, %d entries behind, leader heard %d s ago; %d of %d members vote", role, m.Count("conductor_raft_term"), lag, silence, int(voters), m.Count("conductor_raft_members"))
	switch {
	case silence > 30:
		e.add(areaConductor.Fail("replica", found, "a leader that is heard", "start the other conductors, or look at the network to them (raft_listen)"))
	case lag > 10_000 || silence > 5:
		e.add(areaConductor.Warn("replica", found, "a copy that keeps up with its leader", "look at the disk and at the network between conductors"))
	case int(voters) == 2:
		e.add(areaConductor.Warn("replica", found, "an odd number of voters: of two, none may be lost", "add a third conductor"))
	default:
		e.add(areaConductor.OK("replica", "%s", found))
	}
}

// rates says whether the limits that spare BMCs and their networks let the interval of the power sync be kept.
func (e *examination) rates() {
	const short = "conductor_bmc_rate_short"
	m := e.metrics
	share, known := m.Value("conductor_bmc_rate_share")
	if !known || share <= 0 {
		return // of an older version
	}
	longest, _ := m.Value("conductor_bmc_round_seconds")
	found := fmt.Sprintf("1/%.0f of the BMC rates is this conductor's, which lets it read each node every %s", 1/share, time.Duration(longest*float64(time.Second)).Round(100*time.Millisecond))
	if longest == 0 {
		found = fmt.Sprintf("1/%.0f of the BMC rates is this conductor's, and limits nothing now", 1/share)
	}
	var which []string
	if n := m.Count(short, "setting", "ipmi.subnet_rate"); n > 0 {
		which = append(which, fmt.Sprintf("ipmi.subnet_rate (subnets: %d)", n))
	}
	for _, setting := range []string{"ipmi.rate", "ipmi.handshake_rate"} {
		if m.Count(short, "setting", setting) > 0 {
			which = append(which, setting)
		}
	}
	if len(which) == 0 {
		e.add(areaConductor.OK("rates", "%s", found))
		return
	}
	e.add(areaConductor.Warn("rates", found+" at best; too little is allowed by "+strings.Join(which, ", "), "each node's power read every sync_power_state_interval",
		"make that longer, or the rate higher if BMCs and switches bear it; the log names subnets and figures"))
}

const quorumNeeded = "without a quorum of the conductors nothing is confirmed: start the others, or mend the network to them"

// readings times a read that the log's leader has confirmed: what a client waits for at least (R1).
func (e *examination) readings() {
	began := time.Now()
	status, body, err := e.api.get(e.ctx, "/v1/nodes?limit=1&fields=uuid")
	took := time.Since(began)
	switch {
	case err != nil:
		e.add(areaConductor.Fail("log", err.Error(), "a read that the log confirms", "look at the conductor's log"))
	case status == http.StatusUnauthorized:
		e.add(areaConductor.Warn("log", "the API wants a login", "a user of the API", "--user and --password-file, or FERRITE_API_USER and FERRITE_API_PASSWORD"))
	case status != http.StatusOK:
		e.add(areaConductor.Fail("log", fmt.Sprintf("a read is answered with %d: %s", status, clip(string(body))), "a read that the log confirms", quorumNeeded))
	case e.api.stale != "":
		e.add(areaConductor.Fail("log", "a read is answered by what was known "+e.api.stale+" s ago, and so is what follows", "a read that the log confirms", quorumNeeded))
	case took > time.Second:
		e.add(areaConductor.Warn("log", fmt.Sprintf("a confirmed read took %s: this replica is behind, or busy", took.Round(time.Millisecond)), "less than a second", "look at the disk and the network between conductors"))
	default:
		e.add(areaConductor.OK("log", "a confirmed read took %s", took.Round(10*time.Microsecond)))
	}
}

// members looks at who serves.
func (e *examination) members() {
	var doc struct {
		Conductors []struct {
			Hostname string `json:"hostname"`
			Alive    bool   `json:"alive"`
		} `json:"conductors"`
	}
	if status, err := e.api.json(e.ctx, "/v1/conductors", &doc); err != nil {
		if status != http.StatusUnauthorized { // said already
			e.add(areaConductor.Warn("members", err.Error(), "the list of conductors", "look at the conductor's log"))
		}
		return
	}
	var alive, dead []string
	for _, c := range doc.Conductors {
		if c.Alive {
			alive = append(alive, c.Hostname)
		} else {
			dead = append(dead, c.Hostname)
		}
	}
	found := fmt.Sprintf("%d alive: %s", len(alive), hostrange.Fold(alive))
	if len(dead) > 0 {
		e.add(areaConductor.Warn("members", found+"; not alive: "+hostrange.Fold(dead), "all that are registered", "start them again, or take them out for good"))
		return
	}
	e.add(areaConductor.OK("members", "%s", found))
}

// tooLong is how old an operation may be: the longest timeout of a phase is 10 minutes by default.
const tooLong = 30 * time.Minute

// nodes looks at the states of all nodes.
func (e *examination) nodes() {
	status, body, err := e.api.get(e.ctx, "/v1/x/summary")
	if err == nil && status == http.StatusOK {
		f := &fleetSummary{raw: body}
		if err = json.Unmarshal(body, f); err == nil {
			e.fleet = f
		}
	}
	switch {
	case e.fleet != nil:
	case err != nil:
		e.add(areaConductor.Warn("nodes", err.Error(), "their states", "look at the conductor's log"))
		return
	case status == http.StatusUnauthorized:
		return // said already
	case status == http.StatusNotFound:
		e.add(areaConductor.Warn("nodes", "this conductor's version does not tell of them", "a newer one", "restart the conductor to take the new binary into use"))
		return
	default:
		e.add(areaConductor.Warn("nodes", fmt.Sprintf("%d: %s", status, clip(string(body))), "their states", "ask on the conductor's own machine, or sign in"))
		return
	}
	f := e.fleet
	e.add(areaConductor.OK("nodes", "%d; power: %s; provisioning: %s", f.Nodes, tally(f.Power), tally(f.Provision)))
	faults := maps.Clone(f.Maintenance)
	delete(faults, "none")
	if len(faults) > 0 {
		e.add(areaConductor.Warn("maintenance", fmt.Sprintf("%s, by users: %d; like %s", tally(faults), f.Maintenance["none"], names(f.Faults)), "no node with a fault",
			"look at their BMCs: \"ferrite node list --maintenance --fields name,fault,last_error\"; they come back by themselves when the BMC answers"))
	} else {
		e.add(areaConductor.OK("maintenance", "no node with a fault, %d by users", f.Maintenance["none"]))
	}
	if f.Quarantined > 0 {
		e.add(areaConductor.Fail("quarantine", fmt.Sprintf("%d: %s; the first because of: %s", f.Quarantined, names(f.Quarantine), clip(f.Quarantine[0].Why)), "none: a bug set them aside",
			"keep the log and report it (ferrite support-bundle); \"ferrite node release NODE --force\" puts a node back"))
	} else {
		e.add(areaConductor.OK("quarantine", "no node"))
	}
	e.operations()
}

func (e *examination) operations() {
	f := e.fleet
	if f.Oldest == nil || f.Oldest.Since == nil {
		e.add(areaConductor.OK("operations", "%d under way", f.Operations))
		return
	}
	age := time.Since(*f.Oldest.Since).Round(time.Second)
	found := fmt.Sprintf("%d under way, the oldest (%s of %s) for %s", f.Operations, f.Oldest.Verb, cmp.Or(f.Oldest.Name, f.Oldest.Node), age)
	if age > tooLong {
		e.add(areaConductor.Warn("operations", found, tooLong.String()+" at most", "\"ferrite node show "+cmp.Or(f.Oldest.Name, f.Oldest.Node)+"\" tells what it waits for; \"ferrite node release NODE --force\" ends it"))
		return
	}
	e.add(areaConductor.OK("operations", "%s", found))
}

// tally is "3 active, 2 manageable", the most first.
func tally(counts map[string]int) string {
	keys := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%d %s", counts[k], cmp.Or(k, "unknown"))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// names folds the names of nodes.
func names(nodes []troubledNode) string {
	var all []string
	for _, n := range nodes {
		all = append(all, cmp.Or(n.Name, n.Node))
	}
	return hostrange.Fold(all)
}
