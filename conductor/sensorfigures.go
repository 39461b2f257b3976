// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"ferrite/node"
	"ferrite/notify"
)

// Names of Ironic's own timers for what this conductor does too, and those of ironic-prometheus-exporter for them, without
// _time and _call_count.
type figureName struct {
	ironic, exporter  string
	component, driver string   // labels
	ops               []string // requests to BMCs that count, by the op of conductor_bmc_request_seconds
}

const driverModule = "ironic.drivers.modules.ipmitool."

var figureNames = []figureName{
	{"ironic.conductor.manager.do_sync_power_state", "ironic_do_sync_power_state", "conductor", "", []string{"power status"}},
	{driverModule + "IPMIPower.set_power_state", "ironic_ipmitool_ipmipower_set_power_state", "driver", "ipmi", []string{"power on", "power off", "soft off", "reset"}},
	{driverModule + "IPMIManagement.set_boot_device", "ironic_ipmitool_ipmimanagement_set_boot_device", "driver", "ipmi", []string{"boot device"}},
	{driverModule + "IPMIManagement.inject_nmi", "ironic_ipmimanagement_inject_nmi", "driver", "ipmi", []string{"nmi"}},
}

// sensorRounds is the timer of the rounds themselves.
var sensorRounds = figureName{"ironic.conductor.manager.ConductorManager._sensors_nodes_task", "ironic_conductormanager_sensors_nodes_task", "conductor", "", nil}

// failingSyncs is Ironic's gauge of nodes that power sync cannot read. The exporter leaves it out.
const failingSyncs = "ConductorManager.FailingPowerSyncCount"

// figure is a timer of this conductor's.
type figure struct {
	figureName
	count uint64
	sum   time.Duration
}

// figures are the timers of what has happened at least once, as Ironic's collector has them.
func (s *sensors) figures() []figure {
	counts, sums := map[string]uint64{}, map[string]float64{}
	for _, l := range s.c.fleet.Latencies() {
		counts[l.Op] += l.Count
		sums[l.Op] += l.Sum
	}
	var out []figure
	for _, name := range figureNames {
		f := figure{figureName: name}
		for _, op := range name.ops {
			f.count += counts[op]
			f.sum += time.Duration(sums[op] * float64(time.Second))
		}
		out = append(out, f)
	}
	out = append(out, figure{sensorRounds, s.rounds.Load(), time.Duration(s.spent.Load())})
	return slices.DeleteFunc(out, func(f figure) bool { return f.count == 0 })
}

// tellFigures sends ironic.metrics: what this conductor has done since its start.
func (s *sensors) tellFigures() {
	all := map[string]notify.Figure{}
	for _, f := range s.figures() {
		all[f.ironic] = notify.Timer(f.count, f.sum)
	}
	failing := 0
	s.c.store.Nodes(nil, func(n *node.Node) bool {
		if n.SyncFails > 0 && s.c.placement.mine(n) {
			failing++
		}
		return true
	})
	all[failingSyncs] = notify.Gauge(float64(failing))
	s.send(s.encoder.EncodeFigures(time.Now(), all))
}

// writeFigures appends the timers under the exporter's names to /metrics/sensors.
func (s *sensors) writeFigures(out *bufio.Writer) {
	values := map[string]string{}
	help := map[string]string{}
	for _, f := range s.figures() {
		labels := `{hostname="` + escape(s.c.cfg.Name) + `",service="ironic",component="` + f.component + `"`
		if f.driver != "" {
			labels += `,driver="` + f.driver + `"`
		}
		values[f.exporter+"_time"] = labels + "} " + strconv.FormatFloat(float64(f.sum)/float64(time.Millisecond), 'g', -1, 64)
		values[f.exporter+"_call_count"] = labels + "} " + strconv.FormatUint(f.count, 10)
		help[f.exporter+"_time"], help[f.exporter+"_call_count"] = "Total time (ms) spent.", "Sum of calls recorded."
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		_, _ = fmt.Fprintf(out, "# HELP %s %s\n# TYPE %[1]s gauge\n%[1]s%[3]s\n", name, help[name], values[name])
	}
}
