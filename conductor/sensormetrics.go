// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"

	"ferrite/node"
)

// samples are the newest values of one machine. Words are shared by all machines, so that a sample takes 40 bytes.
type samples struct {
	name, uuid, instance string
	at                   time.Time
	health               string // one of node.HealthStates, "" = not known
	all                  []sample
}

type sample struct {
	metric, entity, sensor, status unique.Handle[string]
	value                          float64
}

// newSamples keeps what ironic-prometheus-exporter would show, and the machine's health, nil = not known.
func newSamples(n *node.Node, at time.Time, sorted map[string]map[string]map[string]string, health *node.Health) *samples {
	x := &samples{name: n.Name, uuid: n.UUID, instance: n.InstanceUUID, at: at}
	if health != nil {
		x.health = health.State
	}
	if x.instance == "" {
		x.instance = n.UUID
	}
	for kind, entries := range sorted {
		for id, fields := range entries {
			if name, value, ok := gauge(kind, id, fields["Sensor Reading"]); ok {
				x.all = append(x.all, sample{unique.Make(name), unique.Make(fields["Entity ID"]), unique.Make(id), unique.Make(fields["Status"]), value})
			}
		}
	}
	return x
}

const (
	payloadTime = "baremetal_last_payload_timestamp_seconds"
	nodeHealth  = "ferrite_node_health" // the exporter has no such thing
)

// ServeHTTP is GET /metrics/sensors: every machine's sensors under the names of ironic-prometheus-exporter.
func (s *sensors) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	nodes := slices.SortedFunc(maps.Values(s.newest), func(a, b *samples) int { return strings.Compare(a.uuid, b.uuid) })
	s.mu.Unlock()
	type line struct {
		of *samples
		at int
	}
	byMetric := map[string][]line{}
	for _, x := range nodes {
		for i := range x.all {
			m := x.all[i].metric.Value()
			byMetric[m] = append(byMetric[m], line{x, i})
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	defer func() { _ = out.Flush() }()
	if s.cfg.Conductor {
		s.writeFigures(out)
	}
	head := func(name, help string) { _, _ = fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) }
	if len(nodes) > 0 {
		head(payloadTime, "Timestamp of the last received payload")
	}
	for _, x := range nodes {
		_, _ = out.WriteString(payloadTime + "{" + x.labels() + "} " + strconv.FormatInt(x.at.Unix(), 10) + "\n")
	}
	writeHealth(out, nodes)
	for _, metric := range slices.Sorted(maps.Keys(byMetric)) {
		head(metric, "Sensors of machines as their BMCs tell, under the name that ironic-prometheus-exporter gives them.")
		lines := byMetric[metric]
		slices.SortStableFunc(lines, func(a, b line) int {
			if a.of != b.of {
				return 0
			}
			return strings.Compare(a.of.all[a.at].sensor.Value(), b.of.all[b.at].sensor.Value())
		})
		for _, l := range lines {
			x := l.of.all[l.at]
			text := metric + "{" + l.of.labels() + `,entity_id="` + escape(x.entity.Value()) + `",sensor_id="` + escape(x.sensor.Value()) + `"`
			if status := x.status.Value(); status != "" {
				text += `,status="` + escape(status) + `"`
			}
			_, _ = out.WriteString(text + "} " + strconv.FormatFloat(x.value, 'g', -1, 64) + "\n")
		}
	}
}

// writeHealth appends what each machine's sensors say together.
func writeHealth(out *bufio.Writer, nodes []*samples) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(x *samples) bool { return x.health == "" })
	if len(nodes) > 0 {
		_, _ = fmt.Fprintf(out, "# HELP %s The worst that a machine's sensors say: 0 ok, 1 warning, 2 critical.\n# TYPE %[1]s gauge\n", nodeHealth)
	}
	for _, x := range nodes {
		_, _ = out.WriteString(nodeHealth + "{" + x.labels() + "} " + strconv.Itoa(slices.Index(node.HealthStates(), x.health)) + "\n")
	}
}

func (x *samples) labels() string {
	return `node_name="` + escape(x.name) + `",node_uuid="` + escape(x.uuid) + `",instance_uuid="` + escape(x.instance) + `"`
}

// escape makes a label's value of a text.
func escape(s string) string { return labelEscapes.Replace(s) }

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// counters are the figures of the rounds themselves.
func (s *sensors) counters() []prometheus.Collector {
	var out []prometheus.Collector
	for _, row := range []struct {
		name, help string
		value      interface{ Load() uint64 }
	}{
		{"conductor_sensor_rounds_total", "Rounds of sensor readings that have ended.", &s.rounds},
		{"conductor_sensor_nodes_total", "Machines whose sensors were read.", &s.read},
		{"conductor_sensor_failures_total", "Machines whose sensors could not be read, or that have none that is wanted.", &s.failed},
		{"conductor_sensor_late_total", "Machines that a round did not reach in time (sensor_data.wait_timeout).", &s.late},
		{"conductor_sensor_published_total", "Messages of sensor data that NATS has taken.", &s.sent},
		{"conductor_sensor_unpublished_total", "Messages of sensor data that NATS did not take; they are not sent again.", &s.unsent},
	} {
		out = append(out, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: row.name, Help: row.help}, func() float64 { return float64(row.value.Load()) }))
	}
	return out
}
