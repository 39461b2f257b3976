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
	{"conductor_lock_refusals_total", "Requests refused with NodeLocked.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.LockRefusals) }},
	{"conductor_quarantined_total", "Nodes quarantined because their rules failed.", prometheus.CounterValue, func(f figures) float64 { return float64(f.fleet.Quarantined) }},
	{"conductor_commits_total", "Log entries applied.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.Commits) }},
	{"conductor_commit_conflicts_total", "Transactions refused because a record had changed.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.Conflicts) }},
	{"conductor_notify_published_total", "Notifications confirmed by NATS.", prometheus.CounterValue, func(f figures) float64 { return float64(f.base.Published) }},
	{"conductor_notify_outbox", "Notifications in the outbox.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.store.OutboxDepth) }},
	{"conductor_notify_dropped_total", "Notifications dropped because the outbox was full.", prometheus.CounterValue, func(f figures) float64 { return float64(f.store.OutboxDropped) }},
	{"conductor_bmc_sessions", "IPMI sessions open.", prometheus.GaugeValue, func(f figures) float64 { return float64(f.base.Sessions) }},
}

// collector reads a conductor's figures at each scrape. No series is per node.
type collector struct {
	c           *Conductor
	descs       []*prometheus.Desc
	provision   *prometheus.Desc
	power       *prometheus.Desc
	info        *prometheus.Desc
	notifyState *prometheus.Desc
	age         *prometheus.Desc
}

// ageBuckets bound the histogram of how long ago each node's power was confirmed, in seconds.
var ageBuckets = []float64{1, 2, 5, 10, 20, 45, 60, 90, 120, 300, 900}

func newCollector(c *Conductor) *collector {
	m := &collector{
		c:           c,
		provision:   prometheus.NewDesc("conductor_nodes", "Nodes by provision state.", []string{"provision_state"}, nil),
		power:       prometheus.NewDesc("conductor_nodes_power", "Nodes by power state.", []string{"power_state"}, nil),
		info:        prometheus.NewDesc("conductor_info", "This conductor.", []string{"name", "version", "go"}, nil),
		notifyState: prometheus.NewDesc("conductor_notify_up", "1 while NATS confirms what is published.", nil, nil),
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
	for _, d := range []*prometheus.Desc{m.provision, m.power, m.info, m.notifyState, m.age} {
		ch <- d
	}
}

// Collect reads them.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	f := figures{fleet: m.c.fleet.Stats(), store: m.c.store.Stats(), base: m.c.Stats()}
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
		up := 0.0
		if m.c.publisher.Stats().Up {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(m.notifyState, prometheus.GaugeValue, up)
	}
	m.ages(ch)
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
	r.MustRegister(newCollector(c), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
