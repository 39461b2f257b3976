// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"ferrite/httpapi"
)

// front is the API server; none until it answers.
type front struct{ atomic.Pointer[httpapi.Server] }

func (f *front) stats() httpapi.Stats {
	if s := f.Load(); s != nil {
		return s.Stats()
	}
	return httpapi.NoStats()
}

// apiCollector reads what the API counts at each scrape.
type apiCollector struct {
	front                                      *front
	open, idle, held, working, closed, refused *prometheus.Desc
}

func newAPICollector(f *front) *apiCollector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &apiCollector{
		front:   f,
		open:    d("conductor_api_connections", "Connections of API clients that are open."),
		idle:    d("conductor_api_connections_idle", "Those of them that wait for their next request."),
		held:    d("conductor_api_held_bytes", "Bytes of API requests and answers that are held."),
		working: d("conductor_api_working", "API requests that parse a body or read the store."),
		closed:  d("conductor_api_connections_refused_total", "Connections of API clients that were refused, or closed to make room.", "reason"),
		refused: d("conductor_api_requests_refused_total", "API requests that were refused before anything looked at what they ask for.", "reason"),
	}
}

// Describe lists the series.
func (m *apiCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.open, m.idle, m.held, m.working, m.closed, m.refused} {
		ch <- d
	}
}

// Collect reads them.
func (m *apiCollector) Collect(ch chan<- prometheus.Metric) {
	s := m.front.stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(m.open, float64(s.Connections))
	gauge(m.idle, float64(s.Idle))
	gauge(m.held, float64(s.HeldBytes))
	gauge(m.working, float64(s.Working))
	for d, by := range map[*prometheus.Desc]map[string]uint64{m.closed: s.RefusedConnections, m.refused: s.RefusedRequests} {
		for _, reason := range slices.Sorted(maps.Keys(by)) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(by[reason]), reason)
		}
	}
}
