// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"strings"
	"testing"
	"time"
)

// TestConductorFigures: what a conductor has done, as Ironic's collector and ironic-prometheus-exporter name it.
func TestConductorFigures(t *testing.T) {
	r := newRack(t, func(c *Config) {
		c.Sensors.Conductor, c.Sensors.Interval = true, time.Hour
		c.SyncInterval = 200 * time.Millisecond
		c.IPMI.MinCommandInterval = 0
	})
	uuid := r.node("m1", 0, "")
	const of = "ironic.drivers.modules.ipmitool.IPMIManagement.set_boot_device"
	r.c.sensors.tellFigures()
	m, doc := r.message()
	if m.Subject != "notifications.info.ironic.metrics" || m.Header.Get("Nats-Msg-Id") != doc["message_id"] {
		t.Errorf("it came as %s with %v", m.Subject, m.Header)
	}
	if got := within(doc, "payload", "payload", of); got != nil {
		t.Errorf("it tells of what never happened: %v", got)
	}
	r.call("PUT", "/v1/nodes/"+uuid+"/management/boot_device", `{"boot_device":"pxe"}`, 204)
	r.call("PUT", "/v1/nodes/"+uuid+"/management/boot_device", `{"boot_device":"disk"}`, 204)
	r.call("PUT", "/v1/nodes/"+uuid+"/states/provision", `{"target":"manage"}`, 202)
	r.c.sensors.round(t.Context())
	if m, _ := r.message(); m.Subject != "notifications.info.hardware.ipmi.metrics" {
		t.Errorf("the machine's came as %s", m.Subject)
	}
	const sync = "ironic.conductor.manager.do_sync_power_state"
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // until the sweep has read it
		r.c.sensors.tellFigures()
		if _, doc = r.message(); within(doc, "payload", "payload", sync) != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no reading is told: %v", doc)
		}
	}
	for path, want := range map[string]any{
		"event_type": "ironic.metrics", "publisher_id": "None.c1", "priority": "INFO", "payload/event_type": "ironic.metrics.update", "payload/hostname": "c1",
		"payload/payload/" + of + "/count": 2.0, "payload/payload/" + of + "/type": "timer", "payload/payload/" + sync + "/type": "timer",
		"payload/payload/ironic.conductor.manager.ConductorManager._sensors_nodes_task/count": 1.0,
		"payload/payload/ConductorManager.FailingPowerSyncCount/type":                         "gauge",
		"payload/payload/ConductorManager.FailingPowerSyncCount/value":                        0.0,
		"payload/node_uuid": nil,
	} {
		if got := within(doc, strings.Split(path, "/")...); got != want {
			t.Errorf("%s is %v: wanted %v", path, got, want)
		}
	}
	if ms, _ := within(doc, "payload", "payload", of, "sum").(float64); ms <= 0 || ms > 60_000 {
		t.Errorf("two boot devices took %v ms", ms)
	}
	code, text := get(t, r.c.APIURL()+"/metrics/sensors")
	for _, line := range []string{ // as its parsers/ironic.py makes names of these keys
		"# TYPE ironic_ipmitool_ipmimanagement_set_boot_device_call_count gauge\n",
		`ironic_ipmitool_ipmimanagement_set_boot_device_call_count{hostname="c1",service="ironic",component="driver",driver="ipmi"} 2` + "\n",
		`ironic_ipmitool_ipmimanagement_set_boot_device_time{hostname="c1",service="ironic",component="driver",driver="ipmi"} `,
		`ironic_conductormanager_sensors_nodes_task_call_count{hostname="c1",service="ironic",component="conductor"} 1` + "\n",
		`ironic_do_sync_power_state_call_count{hostname="c1",service="ironic",component="conductor"} `,
	} {
		if !strings.Contains(text, line) || code != 200 {
			t.Errorf("/metrics/sensors lacks %s:\n%.3000s", line, text)
		}
	}
}

// TestConductorFiguresAreAnOption: send_sensor_data alone decides whether anything is sent, enable_for_conductor whether it
// is this, and enable_for_nodes=false leaves it alone.
func TestConductorFiguresAreAnOption(t *testing.T) {
	for _, x := range []struct {
		send, nodes, conductor bool
		want                   string // of the first message; "" = there is no collector
	}{{false, true, true, ""}, {true, false, false, ""}, {true, false, true, "notifications.info.ironic.metrics"}, {true, true, false, "notifications.info.hardware.ipmi.metrics"}} {
		r := newRack(t, func(c *Config) {
			c.Sensors.Send, c.Sensors.Nodes, c.Sensors.Conductor, c.Sensors.Interval = x.send, x.nodes, x.conductor, 100*time.Millisecond
		})
		if (r.c.sensors == nil) != (x.want == "") {
			t.Errorf("%+v: there is a collector: %v", x, r.c.sensors != nil)
			continue
		}
		if x.want == "" {
			continue
		}
		r.node("m1", 0, "")
		if m, _ := r.message(); m.Subject != x.want {
			t.Errorf("%+v: told %s", x, m.Subject)
		}
	}
}
