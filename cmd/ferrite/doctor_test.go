// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ferrite/internal/doctor"
)

// ward is a conductor that tells what a test wants, and is otherwise well.
type ward struct {
	ready    string // "" = ready
	metrics  string // further lines
	fleet    string // of the summary; "" = an empty one
	read     int    // status of a read, 0 = 200
	stale    string // what a read says of its age
	notTold  int    // status of the summary, 0 = 200
	deadHost string
}

func (w ward) ServeHTTP(rw http.ResponseWriter, q *http.Request) {
	body, status := "", http.StatusOK
	switch q.URL.Path {
	case "/readyz":
		if body = "ready\n"; w.ready != "" {
			body, status = w.ready, http.StatusServiceUnavailable
		}
	case "/metrics":
		body = "conductor_info{name=\"c1\",version=\"" + version + "\"} 1\n" + w.metrics
		if !strings.Contains(w.metrics, "conductor_notify_up") {
			body += "conductor_notify_outbox 0\nconductor_notify_up 1\nconductor_notify_publisher 1\n"
		}
	case "/v1/nodes":
		body = `{"nodes":[]}`
		if w.stale != "" && q.Header.Get("Ferrite-Stale") != "" {
			rw.Header().Set("Ferrite-Stale", w.stale)
		}
		if w.read != 0 {
			status = w.read
		}
	case "/v1/conductors":
		body = `{"conductors":[{"hostname":"c1","alive":true}]}`
		if w.deadHost != "" {
			body = `{"conductors":[{"hostname":"c1","alive":true},{"hostname":"` + w.deadHost + `","alive":false}]}`
		}
	case "/v1/x/summary":
		if body = w.fleet; body == "" {
			body = `{"nodes":0,"maintenance":{},"classes":[]}`
		}
		if w.notTold != 0 {
			status = w.notTold
		}
	default:
		status = http.StatusNotFound
	}
	rw.WriteHeader(status)
	_, _ = rw.Write([]byte(body))
}

// TestDoctorJudges: what a conductor tells of trouble is a finding, as grave as it is, with what to do.
func TestDoctorJudges(t *testing.T) {
	const acme = `{"nodes":20,"maintenance":{},"classes":[{"driver":"ipmi","vendor":"acme","nodes":20,"failing":F,"given_up":G,"login_refused":R,"cipher_suites":{"":20},"sample":{"node_name":"a1","why":"127.0.0.1:623"}}]}`
	class := func(failing, givenUp, refused string) string {
		return strings.NewReplacer("F", failing, "G", givenUp, "R", refused).Replace(acme)
	}
	for _, c := range []struct {
		name string
		ward ward
		key  string
		want doctor.Status
		says string
	}{
		{"well", ward{}, "conductor: ready", doctor.OK, "answers"},
		{"not ready", ward{ready: "no quorum"}, "conductor: ready", doctor.Fail, "no quorum"},
		{"no log", ward{read: 503}, "conductor: log", doctor.Fail, "503"},
		{"no quorum", ward{stale: "7"}, "conductor: log", doctor.Fail, "by what was known 7 s ago"},
		{"a login", ward{read: 401}, "conductor: log", doctor.Warn, "login"},
		{"an old conductor", ward{notTold: 404}, "conductor: nodes", doctor.Warn, "version"},
		{"from elsewhere", ward{notTold: 403}, "conductor: nodes", doctor.Warn, "403"},
		{"a dead member", ward{deadHost: "c2"}, "conductor: members", doctor.Warn, "not alive: c2"},
		{"an outbox without NATS", ward{metrics: "conductor_notify_outbox 7\nconductor_notify_up 0\nconductor_notify_publisher 1\n"}, "conductor: outbox", doctor.Fail, "7 events wait for NATS or Nova, and NATS confirms nothing"},
		{"an outbox that another one tells", ward{metrics: "conductor_notify_outbox 10\nconductor_notify_up 0\nconductor_notify_publisher 0\n"}, "conductor: outbox", doctor.OK, "10 events wait for NATS or Nova; another conductor, the leader of the log, tells them"},
		{"an outbox that waits", ward{metrics: "conductor_notify_outbox 7\nconductor_notify_lag_seconds 61\n"}, "conductor: outbox", doctor.Warn, "7 events wait for NATS or Nova, for 61 s"},
		{"subnets", ward{metrics: "conductor_bmc_subnets_down 2\n"}, "conductor: subnets", doctor.Fail, "2 subnets"},
		{"rates that allow enough", ward{metrics: "conductor_bmc_rate_share 0.333333\nconductor_bmc_round_seconds 5\nconductor_bmc_rate_short{setting=\"ipmi.subnet_rate\"} 0\n"}, "conductor: rates", doctor.OK, "1/3 of the BMC rates is this conductor's, which lets it read each node every 5s"},
		{"rates without nodes", ward{metrics: "conductor_bmc_rate_share 1\nconductor_bmc_round_seconds 0\n"}, "conductor: rates", doctor.OK, "1/1 of the BMC rates is this conductor's, and limits nothing now"},
		{
			"rates that allow too little",
			ward{metrics: "conductor_bmc_rate_share 0.5\nconductor_bmc_round_seconds 15.04\nconductor_bmc_rate_short{setting=\"ipmi.rate\"} 1\nconductor_bmc_rate_short{setting=\"ipmi.subnet_rate\"} 4\n"},
			"conductor: rates", doctor.Warn, "every 15s at best; too little is allowed by ipmi.subnet_rate (subnets: 4), ipmi.rate",
		},
		{"logins", ward{metrics: "conductor_bmc_logins_refused_total 3\n"}, "conductor: logins", doctor.Warn, "3 logins"},
		{"a full disk", ward{metrics: "conductor_disk_low 1\n"}, "conductor: disk", doctor.Fail, "refused"},
		{"old power states", ward{metrics: "conductor_power_age_seconds_bucket{le=\"300\"} 5\nconductor_power_age_seconds_bucket{le=\"900\"} 10\nconductor_power_age_seconds_bucket{le=\"+Inf\"} 10\n"}, "conductor: power sync", doctor.Warn, "5 minutes"},
		{"a replica", ward{metrics: "conductor_raft_voters 3\nconductor_raft_members 4\nconductor_raft_term 7\n"}, "conductor: replica", doctor.OK, "follows in term 7, 0 entries behind, leader heard 0 s ago; 3 of 4 members vote"},
		{"a leader", ward{metrics: "conductor_raft_voters 2\nconductor_raft_leader 1\n"}, "conductor: replica", doctor.Warn, "leads"},
		{"a replica behind", ward{metrics: "conductor_raft_voters 3\nconductor_raft_lag_entries 10001\n"}, "conductor: replica", doctor.Warn, "10001 entries behind"},
		{"a silent leader", ward{metrics: "conductor_raft_voters 3\nconductor_raft_contact_age_seconds 31\n"}, "conductor: replica", doctor.Fail, "31 s ago"},
		{"faults", ward{fleet: `{"nodes":9,"maintenance":{"none":2,"power failure":3},"faults":[{"node_name":"n1"},{"node_name":"n2"}]}`}, "conductor: maintenance", doctor.Warn, "3 power failure, by users: 2; like n[1-2]"},
		{"a quarantine", ward{fleet: `{"nodes":9,"quarantined":1,"quarantine":[{"node_name":"n1","why":"panic: no"}]}`}, "conductor: quarantine", doctor.Fail, "n1; the first because of: panic: no"},
		{"an old operation", ward{fleet: `{"nodes":9,"operations":1,"oldest_operation":{"node_name":"n1","verb":"set power","since":"2026-01-01T00:00:00Z"}}`}, "conductor: operations", doctor.Warn, "set power of n1"},
		{"a class", ward{fleet: class("2", "0", "0")}, "BMCs: ipmi / acme", doctor.OK, "20 nodes, 2 failing, 0 given up, 0 refuse"},
		{"a class in trouble", ward{fleet: class("2", "1", "0")}, "BMCs: ipmi / acme", doctor.Warn, "2 failing, 1 given up"},
		{"a class without a login", ward{fleet: class("0", "0", "1")}, "BMCs: ipmi / acme", doctor.Warn, "1 refuse the login"},
		{"a class that refused", ward{metrics: "conductor_bmc_request_seconds_count{vendor=\"acme\",code=\"auth\"} 4\n", fleet: class("0", "0", "0")}, "BMCs: ipmi / acme", doctor.Warn, "(4 since the start)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.ward)
			defer server.Close()
			var out, errOut bytes.Buffer
			code := run([]string{"doctor", "--api", server.URL, "--no-probe", "-o", "json", "--data-dir", t.TempDir(), "--api-listen", "127.0.0.1:0", "--nats-listen", "", "--disk-min-free-mb", "1"}, &out, &errOut)
			var r doctorReport
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v\n%s%s", err, out.String(), errOut.String())
			}
			if (code == exitFailed) != (r.Summary.Fail > 0) {
				t.Errorf("exit code %d with %+v", code, r.Summary)
			}
			for _, f := range r.Findings {
				if f.Area+": "+f.Check != c.key {
					continue
				}
				if f.Status != c.want || !strings.Contains(f.Found, c.says) || (f.Do == "") != (f.Status == doctor.OK) {
					t.Errorf("%+v: wanted %s and %q", f, c.want, c.says)
				}
				return
			}
			t.Errorf("no finding %q in %+v", c.key, r.Findings)
		})
	}
}

// TestDoctorJudgesSamples: what one BMC answers decides on its class.
func TestDoctorJudgesSamples(t *testing.T) {
	of := func(failing int) nodeClass {
		return nodeClass{Driver: "ipmi", Nodes: 4, Failing: failing, Sample: &troubledNode{Name: "n1", Why: "10.0.0.1:623"}}
	}
	silent := &sampled{err: http.ErrHandlerTimeout}
	for name, c := range map[string]struct {
		class  nodeClass
		sample *sampled
		want   doctor.Status
	}{
		"well":             {of(0), &sampled{answer: doctor.Answer{IPMI2: true, Suites: []int{3, 17}}}, doctor.OK},
		"does not tell":    {of(0), &sampled{answer: doctor.Answer{IPMI2: true}}, doctor.OK},
		"not asked":        {of(0), nil, doctor.OK},
		"no BMC":           {nodeClass{Driver: "fake-hardware", Nodes: 3}, nil, doctor.OK},
		"IPMI 1.5":         {of(0), &sampled{}, doctor.Fail},
		"weak suites only": {of(0), &sampled{answer: doctor.Answer{IPMI2: true, Suites: []int{1, 2}}}, doctor.Fail},
		"suite 0":          {of(0), &sampled{answer: doctor.Answer{IPMI2: true, Suites: []int{0, 3, 17}}}, doctor.Warn},
		"silent alone":     {of(1), silent, doctor.Warn},
		"all silent":       {of(4), silent, doctor.Fail},
	} {
		e := &examination{}
		e.class(c.class, c.sample)
		if len(e.findings) != 1 || e.findings[0].Status != c.want {
			t.Errorf("%s: %+v, wanted %s", name, e.findings, c.want)
		}
	}
}
