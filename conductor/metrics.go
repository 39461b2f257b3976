// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ferrite/actors"
	"ferrite/bmc/ipmi"
	"ferrite/notify"
)

// metric is one row of /metrics: its name, help, kind and where its value comes from. Values are read when asked for;
// nothing is counted twice.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(figures) float64
}

var metrics = []metric{
	{"conductor_operations", "Operations (power, provisioning, management) under way.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.fleet.Operations) }},
	{"conductor_actors", "Node actors alive.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.fleet.Actors) }},
	{"conductor_power_sync_total", "Power readings asked for by the sweep.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Polls) }},
	{"conductor_power_sync_match_total", "Power readings equal to the record: nothing else happened.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Matches) }},
	{"conductor_power_sync_failures_total", "Power readings that were not answered.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Failures) }},
	{"conductor_fence_rejections_total", "BMC commands refused because the permit was lost.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Fenced) }},
	{"conductor_permits_expired_total", "BMC commands put off because their permit was too old when it came to sending.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Expired) }},
	{"conductor_permits_renewed_total", "Permits that had grown old until their BMC's turn came, and were renewed before the command.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Renewed) }},
	{"conductor_requests_shed_total", "Requests refused because too many were waiting.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Shed) }},
	{"conductor_bmc_subnets_down", "Subnets in which many of this conductor's BMCs fail at once: their power states are frozen. Host names of BMCs count as one more: many that cannot be resolved. One that fails is counted by each conductor that sees it: take max, not sum.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.fleet.SubnetsDown) }},
	{"conductor_bmc_subnet_failures", "Failures of whole subnets that are not over; each is counted by one of all conductors: take sum.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.failures) }},
	{"conductor_bmc_frozen_readings_total", "Readings that nothing followed from because their subnet was down, or might be.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Frozen) }},
	{"conductor_findings_late", "Findings of the power sweep that wait for their turn behind users' requests.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.fleet.Late) }},
	{"conductor_lock_refusals_total", "Requests refused with NodeLocked.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.LockRefusals) }},
	{"conductor_quarantined_total", "Nodes quarantined because their rules failed.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Quarantined) }},
	{"conductor_releases_total", "Operations ended by force.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Released) }},
	{"conductor_commits_total", "Log entries applied.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.Commits) }},
	{"conductor_commit_conflicts_total", "Transactions refused because a record had changed.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.Conflicts) }},
	{"conductor_notify_published_total", "Notifications of this conductor that NATS confirmed.", prometheus.CounterValue, func(f figures) float64 { return float64(f.base.Published) }},
	{"conductor_notify_refused_total", "Notifications that NATS will never take (too big); they are logged and skipped.", prometheus.CounterValue, func(f figures) float64 { return float64(f.bus.Refused) }},
	{"conductor_notify_retries_total", "Further attempts to publish a batch of notifications.", prometheus.CounterValue, func(f figures) float64 { return float64(f.bus.Retries) }},
	{"conductor_nova_sent_total", "Power updates that Nova has taken.", prometheus.CounterValue, func(f figures) float64 { return float64(f.nova.Sent) }},
	{"conductor_nova_superseded_total", "Power updates not sent because a newer one of the same server was.", prometheus.CounterValue, func(f figures) float64 { return float64(f.nova.Superseded) }},
	{"conductor_nova_failed_total", "Requests to Nova or Keystone that failed; each is tried three times.", prometheus.CounterValue, func(f figures) float64 { return float64(f.nova.Failed) }},
	{"conductor_nova_dropped_total", "Power updates that Nova refused, or did not take in three tries.", prometheus.CounterValue, func(f figures) float64 { return float64(f.nova.Dropped) }},
	{"conductor_notify_outbox", "Events in the outbox that NATS or Nova have still to be told; every conductor knows it: take max, not sum.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.store.OutboxDepth) }},
	{"conductor_notify_dropped_total", "Notifications dropped because the outbox was full; every conductor counts all of them: take max, not sum.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.OutboxDropped) }},
	{"conductor_mailbox_depth", "Requests that wait for their node's actor.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.fleet.Waiting) }},
	{"conductor_bmc_shared_nodes", "Nodes whose BMC address another, earlier node has too.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.twice) }},
	{"conductor_bmc_handshakes_total", "IPMI logins begun.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Handshakes) }},
	{"conductor_bmc_logins_refused_total", "IPMI logins that a BMC refused.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Refused) }},
	{"conductor_bmc_retransmits_total", "IPMI packets sent again.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Retransmits) }},
	{"conductor_bmc_probes_total", "Questions outside of a session to BMCs that had not answered.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Probes) }},
	{"conductor_bmc_paced_total", "Power readings that waited for their turn because of ipmi.rate or ipmi.subnet_rate.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Paced) }},
	{"conductor_bmc_rate_share", "This conductor's part of ipmi.rate, ipmi.subnet_rate and ipmi.handshake_rate: one by the number of conductors of its group that have nodes.", prometheus.GaugeValue, func(f figures) float64 { return 1 / float64(f.rates.share) }},
	{"conductor_bmc_round_seconds", "How long these rates let a reading of each node take, in the subnet where it takes longest; 0 = nothing is limited. More than sync_power_state_interval: that is not kept.", prometheus.GaugeValue, func(f figures) float64 { return f.rates.longest().Seconds() }},
	{"conductor_bmc_traps_total", "Datagrams received at ipmi.pet_listen.", prometheus.CounterValue, func(f figures) float64 { return float64(f.traps.Received) }},
	{"conductor_bmc_traps_followed_total", "Platform event traps that brought a power reading.", prometheus.CounterValue, func(f figures) float64 { return float64(f.traps.Followed) }},
	{"conductor_bmc_traps_limited_total", "Platform event traps that another one of their BMC has brought a reading for, which was still to come.", prometheus.CounterValue, func(f figures) float64 { return float64(f.traps.Limited) }},
	{"conductor_bmc_traps_unknown_total", "Platform event traps of BMCs whose nodes are not this conductor's; other conductors are told of theirs.", prometheus.CounterValue, func(f figures) float64 { return float64(f.traps.Unknown) }},
	{"conductor_bmc_traps_malformed_total", "Datagrams that are no platform event traps.", prometheus.CounterValue, func(f figures) float64 { return float64(f.traps.Malformed) }},
	{"conductor_bmc_engine_failures_total", "Failures of the IPMI engine's own code, each with one BMC left alone.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.Panics) }},
	{"conductor_bmc_socket_errors_total", "Errors of receiving from the network.", prometheus.CounterValue, func(f figures) float64 { return float64(f.ipmi.SocketErrors) }},
	{"conductor_disk_free_bytes", "Free space on the disk of the data folder.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.store.DiskFree) }},
	{"conductor_disk_low", "1 while changes are refused for want of room on the disk.", prometheus.GaugeValue, func(f figures) float64 { return oneIf(f.store.DiskLow) }},
	{"conductor_claims_total", "Nodes that this conductor became the owner of by writing them.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Claims) }},
	{"conductor_view_changes_total", "Changes of the members that nodes were placed anew by.", prometheus.CounterValue, func(f figures) float64 { return float64(f.cluster.views) }},
	{"conductor_members", "Conductors alive, this one included.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.members) }},
	{"conductor_nodes_owned", "Nodes that this conductor looks after.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.owned) }},
	{"conductor_hop_sent_total", "Requests handed on to the conductor that owns their node.", prometheus.CounterValue, func(f figures) float64 { return float64(f.cluster.sent) }},
	{"conductor_hop_served_total", "Requests taken from other conductors.", prometheus.CounterValue, func(f figures) float64 { return float64(f.cluster.served) }},
	{"conductor_hop_refused_total", "Requests that no conductor took in time.", prometheus.CounterValue, func(f figures) float64 { return float64(f.cluster.refused) }},
	{"conductor_raft_term", "Term of the log: it grows with every election.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.log.Term) }},
	{"conductor_raft_leader", "1 on the conductor that leads the log.", prometheus.GaugeValue, func(f figures) float64 { return oneIf(f.cluster.log.Leads) }},
	{"conductor_raft_voter", "1 on a conductor that votes in the log.", prometheus.GaugeValue, func(f figures) float64 { return oneIf(f.cluster.log.HasVoter) }},
	{"conductor_raft_voters", "Conductors that vote in the log.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.log.Voters) }},
	{"conductor_raft_members", "Conductors that keep the log, voters included.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.log.Members) }},
	{"conductor_raft_lag_entries", "Entries of the log that are here and not applied yet.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.cluster.log.Unheld) }},
	{"conductor_raft_contact_age_seconds", "For how long the log's leader has not been heard; 0 on the leader.", prometheus.GaugeValue, func(f figures) float64 { return f.cluster.silence.Seconds() }},
	{"conductor_bmc_sessions", "IPMI sessions open.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.base.Sessions) }},
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collector reads a conductor's figures at each scrape. No series is per node.
type collector struct {
	c           *Conductor
	descs       []*prometheus.Desc
	provision   *prometheus.Desc
	power       *prometheus.Desc
	info        *prometheus.Desc
	notifyState *prometheus.Desc
	publisher   *prometheus.Desc
	age         *prometheus.Desc
	request     *prometheus.Desc
	breaker     *prometheus.Desc
	takeover    *prometheus.Desc
	lag         *prometheus.Desc
	dropped     *prometheus.Desc
	short       *prometheus.Desc
	synced      *prometheus.Desc
	recovering  *prometheus.Desc
}

// ageBuckets bound the histogram of how long ago each node's power was confirmed, in seconds.
var ageBuckets = []float64{1, 2, 5, 10, 20, 45, 60, 90, 120, 300, 900}

func newCollector(c *Conductor) *collector {
	m := &collector{
		c:           c,
		provision:   prometheus.NewDesc("conductor_nodes", "Nodes by provision state.", []string{"provision_state"}, nil),
		power:       prometheus.NewDesc("conductor_nodes_power", "Nodes by power state.", []string{"power_state"}, nil),
		info:        prometheus.NewDesc("conductor_info", "This conductor.", []string{"name", "version", "go"}, nil),
		notifyState: prometheus.NewDesc("conductor_notify_up", "0 while this conductor publishes and NATS does not confirm it, else 1.", nil, nil),
		publisher:   prometheus.NewDesc("conductor_notify_publisher", "1 on the conductor that publishes notifications: the one that leads the log.", nil, nil),
		request:     prometheus.NewDesc("conductor_bmc_request_seconds", "Times of BMC requests.", []string{"proto", "vendor", "op", "code"}, nil),
		breaker:     prometheus.NewDesc("conductor_bmc_breaker", "Nodes of the power sync by how their BMC does: closed answers, failing has retries left, open is given up.", []string{"state"}, nil),
		takeover:    prometheus.NewDesc("conductor_takeover_seconds", "From seeing a conductor gone until all of its nodes that fell to this one were active here.", nil, nil),
		lag:         prometheus.NewDesc("conductor_notify_lag_seconds", "For how long NATS has not confirmed the notifications that it was given.", nil, nil),
		synced:      prometheus.NewDesc("ironic_power_sync_nodes", "Nodes that take part in the power sync (Ironic's PowerSyncNodesCount).", nil, nil),
		recovering:  prometheus.NewDesc("ironic_power_sync_recovery_nodes", "Nodes whose BMC is given up and tried again (Ironic's PowerSyncRecoveryNodeCount).", nil, nil),
		dropped:     prometheus.NewDesc("conductor_bmc_packets_dropped_total", "Packets from BMCs that were not believed.", []string{"reason"}, nil),
		short:       prometheus.NewDesc("conductor_bmc_rate_short", "Limits that do not let this conductor read its nodes every sync_power_state_interval: subnets for ipmi.subnet_rate, else 0 or 1.", []string{"setting"}, nil),
		age:         prometheus.NewDesc("conductor_power_age_seconds", "How long ago each synchronised node's power state was last confirmed.", nil, nil),
	}
	for _, row := range metrics {
		m.descs = append(m.descs, prometheus.NewDesc(row.name, row.help, nil, nil))
	}
	return m
}

// Describe lists the series.
func (m *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
	for _, d := range []*prometheus.Desc{m.provision, m.power, m.info, m.notifyState, m.publisher, m.age, m.request, m.breaker, m.takeover, m.lag, m.synced, m.recovering, m.dropped, m.short} {
		ch <- d
	}
}

// Collect reads them.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	f := figures{fleet: m.c.fleet.Stats(), failures: m.c.fleet.SubnetFailures(), store: m.c.store.Stats(), base: m.c.Stats(), nova: m.c.novaStats(), bus: m.c.busStats(), ipmi: m.c.engine.Stats(), traps: m.c.traps.Stats(), twice: m.c.endpoints.shared(), cluster: m.c.clusterFigures(), rates: m.c.rates()}
	for i, row := range metrics {
		ch <- prometheus.MustNewConstMetric(m.descs[i], row.kind, row.value(f))
	}
	for state, n := range f.base.ByProvision {
		ch <- prometheus.MustNewConstMetric(m.provision, prometheus.GaugeValue, float64(n), state)
	}
	for state, n := range f.base.ByPower {
		ch <- prometheus.MustNewConstMetric(m.power, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(m.info, prometheus.GaugeValue, 1, m.c.cfg.Name, m.c.cfg.Version, runtime.Version())
	if m.c.publisher != nil {
		ch <- prometheus.MustNewConstMetric(m.notifyState, prometheus.GaugeValue, oneIf(!f.bus.Stuck))
		ch <- prometheus.MustNewConstMetric(m.publisher, prometheus.GaugeValue, oneIf(f.bus.Runs))
	}
	for _, reason := range ipmi.Reasons() {
		ch <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(f.ipmi.Drops[reason]), reason)
	}
	short := f.rates.short()
	for _, setting := range rateNames {
		ch <- prometheus.MustNewConstMetric(m.short, prometheus.GaugeValue, float64(short[setting]), setting)
	}
	m.ages(ch)
	m.requests(ch)
	if h, err := m.c.takeovers.histogram(m.takeover); err == nil {
		ch <- h
	}
	breakers := m.c.fleet.Sweep().Breakers()
	for state, n := range breakers {
		ch <- prometheus.MustNewConstMetric(m.breaker, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(m.synced, prometheus.GaugeValue, float64(breakers["closed"]+breakers["failing"]))
	ch <- prometheus.MustNewConstMetric(m.recovering, prometheus.GaugeValue, float64(breakers["open"]))
	ch <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, lagging(f.bus).Seconds())
}

// requests are the histograms of BMC request times.
func (m *collector) requests(ch chan<- prometheus.Metric) {
	for _, l := range m.c.fleet.Latencies() {
		buckets := make(map[float64]uint64, len(l.Buckets))
		for i, n := range l.Buckets {
			buckets[actors.LatencyBounds[i]] = n
		}
		if h, err := prometheus.NewConstHistogram(m.request, l.Count, l.Sum, buckets, "ipmi", l.Vendor, l.Op, l.Code); err == nil {
			ch <- h
		}
	}
}

// lagging is how long NATS has owed the confirmation of what it was given.
func lagging(s notify.Stats) time.Duration {
	if s.Waits.IsZero() {
		return 0
	}
	return time.Since(s.Waits)
}

// ages makes the freshness histogram from the sweep's own marks.
func (m *collector) ages(ch chan<- prometheus.Metric) {
	count, sum, counts := uint64(0), 0.0, make([]uint64, len(ageBuckets))
	m.c.fleet.Sweep().Ages(time.Now(), func(age time.Duration) {
		s := age.Seconds()
		count++
		sum += s
		for i, b := range ageBuckets {
			if s <= b {
				counts[i]++
			}
		}
	})
	buckets := make(map[float64]uint64, len(counts))
	for i, b := range ageBuckets {
		buckets[b] = counts[i]
	}
	if h, err := prometheus.NewConstHistogram(m.age, count, sum, buckets); err == nil {
		ch <- h
	}
}

// metricsHandler serves /metrics.
func (c *Conductor) metricsHandler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(c), newAPICollector(&c.front), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	if c.sensors != nil {
		r.MustRegister(c.sensors.counters()...)
		mux.Handle("/metrics/sensors", c.sensors)
	}
	return mux
}
