// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ferrite/httpapi/wire"
	"ferrite/node"
	"ferrite/sim"
)

// rack is a conductor that collects sensors, over simulated BMCs; rounds are made by the test.
type rack struct {
	t    *testing.T
	c    *Conductor
	bmcs *sim.Fleet
	told *nats.Subscription
}

func newRack(t *testing.T, change func(*Config)) *rack {
	t.Helper()
	f := simulated(t, 4)
	c := settings(t)
	c.SyncInterval, c.NotificationLevel = 0, "" // sensor data does not depend on it
	c.Sensors = DefaultSensorData()
	c.Sensors.Send, c.Sensors.Undeployed, c.Sensors.Conductor, c.Sensors.Interval = true, true, false, time.Hour
	c.IPMI.Timeouts = []time.Duration{time.Second, 2 * time.Second} // a busy machine may stand still for less
	c.IPMI.Rate, c.IPMI.SubnetRate = 0, 0
	if change != nil {
		change(&c)
	}
	r := &rack{t: t, bmcs: f, c: start(t, c)}
	if url := r.c.NATSURL(); url != "" {
		conn, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		if r.told, err = conn.SubscribeSync("notifications.>"); err != nil {
			t.Fatal(err)
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// node makes a node behind a BMC.
func (r *rack) node(name string, i int, more string) string {
	r.t.Helper()
	doc := r.call("POST", "/v1/nodes", simulatedNode(r.bmcs, i, name, more), 201)
	uuid, _ := doc["uuid"].(string)
	return uuid
}

// call has the extensions that are named set to 1.
func (r *rack) call(method, path, body string, want int, extensions ...string) map[string]any {
	r.t.Helper()
	q, _ := http.NewRequest(method, r.c.APIURL()+path, strings.NewReader(body))
	q.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
	for _, name := range extensions {
		q.Header.Set(name, "1")
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	if a.StatusCode != want {
		r.t.Fatalf("%s %s: %d %s", method, path, a.StatusCode, b)
	}
	var doc map[string]any
	_ = json.Unmarshal(b, &doc)
	return doc
}

// message is the next one that NATS had.
func (r *rack) message() (*nats.Msg, map[string]any) {
	r.t.Helper()
	m, err := r.told.NextMsg(30 * time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(m.Data, &doc); err != nil {
		r.t.Fatal(err)
	}
	return m, doc
}

// asked counts the sensors that a BMC was asked for.
func (r *rack) asked(i int) int {
	n := 0
	for _, c := range r.bmcs.BMC(i).Commands() {
		if c.Name == "get sensor reading" {
			n++
		}
	}
	return n
}

func within(doc map[string]any, path ...string) any {
	var v any = doc
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// TestSensorData: one message a node in Ironic's form, and the newest values under the exporter's names.
func TestSensorData(t *testing.T) {
	r := newRack(t, nil)
	uuid := r.node("m1", 0, "")
	resting := r.node("m2", 1, "")
	r.call("PUT", "/v1/nodes/"+resting+"/maintenance", `{}`, 202)
	r.call("POST", "/v1/nodes", `{"name":"m3","driver":"fake-hardware"}`, 201)
	r.c.sensors.round(t.Context())
	m, doc := r.message()
	if m.Subject != "notifications.info.hardware.ipmi.metrics" || m.Header.Get("Ironic-Node") != uuid || m.Header.Get("Ferrite-Rev") != "" || m.Header.Get("Nats-Msg-Id") != doc["message_id"] {
		t.Errorf("it came as %s with %v", m.Subject, m.Header)
	}
	for path, want := range map[string]any{
		"event_type": "hardware.ipmi.metrics", "publisher_id": "None.c1", "priority": "INFO", "payload/event_type": "hardware.ipmi.metrics.update",
		"payload/node_uuid": uuid, "payload/node_name": "m1", "payload/instance_uuid": nil,
		"payload/payload/Temperature/Inlet Temp (0x5)/Sensor Reading":          "21 (+/- 1) degrees C",
		"payload/payload/Temperature/Inlet Temp (0x5)/Status":                  "ok",
		"payload/payload/Temperature/Inlet Temp (0x5)/Entity ID":               "7.1 (System Board)",
		"payload/payload/Temperature/Inlet Temp (0x5)/Sensor Type (Threshold)": "Temperature (0x01)",
		"payload/payload/Temperature/Inlet Temp (0x5)/Upper critical":          "47.000",
		"payload/payload/Fan/Fan1B (0x31)/Status":                              "Lower Critical",
		"payload/payload/Power/Status (0x86)/Sensor Type (Discrete)":           "Power Supply (0x08)",
	} {
		if got := within(doc, strings.Split(path, "/")...); strings.Contains(path, "payload/payload") && path == "" || got != want {
			t.Errorf("%s is %v: wanted %v", path, got, want)
		}
	}
	for path, layout := range map[string]string{"timestamp": "2006-01-02 15:04:05.000000", "payload": "2006-01-02T15:04:05.000000"} {
		text, _ := doc[path].(string)
		if path == "payload" {
			text, _ = within(doc, "payload", "timestamp").(string)
		}
		if _, err := time.Parse(layout, text); err != nil {
			t.Errorf("%s has the time %q: %v", path, text, err)
		}
	}
	if n := r.asked(1); n != 0 {
		t.Errorf("a node in maintenance was asked for %d sensors", n)
	}
	code, text := get(t, r.c.APIURL()+"/metrics/sensors")
	for _, line := range []string{
		"# TYPE baremetal_inlet_temp_celsius gauge",
		`baremetal_inlet_temp_celsius{node_name="m1",node_uuid="` + uuid + `",instance_uuid="` + uuid + `",entity_id="7.1 (System Board)",sensor_id="Inlet Temp (0x5)",status="ok"} 21`,
		`baremetal_temp_celsius{node_name="m1",node_uuid="` + uuid + `",instance_uuid="` + uuid + `",entity_id="3.2 (Processor)",sensor_id="Temp (0x2)",status="ok"} 43`,
		`baremetal_fan_rpm{node_name="m1",node_uuid="` + uuid + `",instance_uuid="` + uuid + `",entity_id="7.1 (System Board)",sensor_id="Fan1B (0x31)",status="Lower Critical"} 360`,
		`baremetal_power_status{node_name="m1",node_uuid="` + uuid + `",instance_uuid="` + uuid + `",entity_id="10.1 (Power Supply)",sensor_id="Status (0x85)"} 0`,
		`baremetal_last_payload_timestamp_seconds{node_name="m1",node_uuid="` + uuid + `",instance_uuid="` + uuid + `"} `,
	} {
		if !strings.Contains(text, line) || code != 200 {
			t.Errorf("/metrics/sensors lacks %s", line)
		}
	}
	if strings.Contains(text, resting) || strings.Contains(text, "m3") {
		t.Errorf("it tells of nodes that are not read:\n%s", text)
	}
	if _, metrics := get(t, r.c.APIURL()+"/metrics"); !strings.Contains(metrics, "conductor_sensor_published_total 1\n") || !strings.Contains(metrics, "conductor_sensor_nodes_total 1\n") {
		t.Error("/metrics does not count one node that was read and one message")
	}
	health := func() []any {
		n := r.call("GET", "/v1/nodes/"+uuid+"?fields=health,sensor_health,sensor_health_at,sensor_health_sensors", "", 200, wire.HeaderExtensions)
		at, _ := n["sensor_health_at"].(string)
		return []any{n["health"], n["sensor_health"], n["sensor_health_sensors"], at != ""}
	}
	broken := []any{nil, "critical", []any{"Fan1B (0x31)", "Status (0x86)"}, true}
	if got, series := health(), `ferrite_node_health{node_name="m1",node_uuid="`+uuid+`",instance_uuid="`+uuid+`"} 2`+"\n"; !reflect.DeepEqual(got, broken) || !strings.Contains(text, series) {
		t.Errorf("its health is %v: wanted %v, and %s in\n%s", got, broken, series, text)
	}
	// The next round is told over the same connection.
	r.bmcs.BMC(0).Change(5, func(s *sim.Sensor) { s.Raw = 25 })
	r.c.sensors.round(t.Context())
	if _, doc := r.message(); within(doc, "payload", "payload", "Temperature", "Inlet Temp (0x5)", "Sensor Reading") != "25 (+/- 1) degrees C" || r.c.sensors.unsent.Load() != 0 {
		t.Errorf("the second round told %v, %d messages were not sent", within(doc, "payload", "payload", "Temperature"), r.c.sensors.unsent.Load())
	}
	// A machine that is gone is no more told of, and one that answers no more loses its old values.
	r.bmcs.BMC(0).SetDead(true)
	r.c.sensors.round(t.Context())
	if _, text := get(t, r.c.APIURL()+"/metrics/sensors"); strings.Contains(text, uuid) {
		t.Error("the values of a dead BMC are still shown")
	}
	if got := health(); !reflect.DeepEqual(got, broken) {
		t.Errorf("the last that is known of its health is %v: wanted %v", got, broken)
	}
	if n := r.c.sensors.failed.Load(); n != 1 {
		t.Errorf("%d failures: wanted one", n)
	}
}

// TestSensorTypes: data_types filters in any case; topics and format are as set.
func TestSensorTypes(t *testing.T) {
	r := newRack(t, func(c *Config) {
		c.Sensors.Types, c.Sensors.Topics, c.NotificationFormat = []string{"fan", "VOLTAGE"}, []string{"notifications.x", "notifications.y"}, "oslo"
	})
	r.node("m1", 0, "")
	r.c.sensors.round(t.Context())
	for _, subject := range []string{"notifications.x.info.hardware.ipmi.metrics", "notifications.y.info.hardware.ipmi.metrics"} {
		m, outer := r.message()
		var doc map[string]any
		text, _ := outer["oslo.message"].(string)
		if err := json.Unmarshal([]byte(text), &doc); err != nil || m.Subject != subject {
			t.Fatalf("%s: %v", m.Subject, err)
		}
		var kinds []string
		all, _ := within(doc, "payload", "payload").(map[string]any)
		for k := range all {
			kinds = append(kinds, k)
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"Fan", "Voltage"}) {
			t.Errorf("types %q: wanted fans and voltages", kinds)
		}
	}
}

// TestWhoseSensorsAreRead: Ironic's filters, and those of politeness.
func TestWhoseSensorsAreRead(t *testing.T) {
	r := newRack(t, func(c *Config) { c.Sensors.Undeployed = false })
	uuid := r.node("m1", 0, "")
	n, _ := r.c.store.Node(uuid)
	for name, x := range map[string]struct {
		change func(*node.Node)
		want   bool
	}{
		"enroll":      {func(*node.Node) {}, false},
		"active":      {func(n *node.Node) { n.ProvisionState = node.Active }, true},
		"maintenance": {func(n *node.Node) { n.ProvisionState, n.Maintenance = node.Active, true }, false},
		"failing":     {func(n *node.Node) { n.ProvisionState, n.SyncFails = node.Active, 1 }, false},
		"refused":     {func(n *node.Node) { n.ProvisionState, n.Refused = node.Active, &node.Refusal{Times: 1} }, false},
		"quarantined": {func(n *node.Node) { n.ProvisionState, n.Quarantined = node.Active, "x" }, false},
		"noop": {func(n *node.Node) {
			n.ProvisionState, n.Interfaces = node.Active, map[string]string{"management": "noop"}
		}, false},
		"another's": {func(n *node.Node) { n.ProvisionState, n.ConductorGroup = node.Active, "elsewhere" }, false},
	} {
		c := n.Clone()
		x.change(c)
		if got := r.c.sensors.wants(c); got != x.want {
			t.Errorf("%s: read %v, wanted %v", name, got, x.want)
		}
	}
	r.c.sensors.round(t.Context())
	if got := r.asked(0); got != 0 {
		t.Errorf("an undeployed node was asked for %d sensors", got)
	}
}

// TestARoundThatTakesTooLong: who was not reached comes first in the next round.
func TestARoundThatTakesTooLong(t *testing.T) {
	r := newRack(t, func(c *Config) { c.Sensors.Workers, c.NATSListen = 1, "" })
	for i := range 3 {
		r.node(fmt.Sprintf("m%d", i), i, "")
	}
	r.c.sensors.cfg.Wait = time.Nanosecond
	r.c.sensors.round(t.Context())
	if late, read := r.c.sensors.late.Load(), r.c.sensors.read.Load(); late == 0 || read != 0 {
		t.Errorf("%d nodes were late and %d read: wanted late ones only", late, read)
	}
	r.c.sensors.cfg.Wait = 0
	r.c.sensors.mu.Lock()
	m2, _ := r.c.store.Holder("name/m2")
	r.c.sensors.begun = map[string]time.Time{}
	for _, n := range []string{"m0", "m1"} {
		k, _ := r.c.store.Holder("name/" + n)
		r.c.sensors.begun[k.ID] = time.Now()
	}
	r.c.sensors.mu.Unlock()
	if due := r.c.sensors.due(); len(due) != 3 || due[0].UUID != m2.ID {
		t.Errorf("the oldest does not come first of %d", len(due))
	}
	for i := range 3 {
		r.bmcs.BMC(i).SetLatency(5 * time.Millisecond)
	}
	ended, most := make(chan struct{}), 0
	go func() { r.c.sensors.round(t.Context()); close(ended) }()
	for more := true; more; {
		select {
		case <-ended:
			more = false
		case <-time.After(time.Millisecond):
			most = max(most, r.c.engine.Stats().InFlight)
		}
	}
	if n := r.c.sensors.read.Load(); n != 3 {
		t.Errorf("%d nodes were read without NATS: wanted 3", n)
	}
	if most > 1 {
		t.Errorf("%d machines were asked at once: wanted one, by one worker", most)
	}
}

func TestSensorsAreOffByDefault(t *testing.T) {
	c := start(t, settings(t))
	if c.sensors != nil {
		t.Error("sensors are collected by default")
	}
	if code, _ := get(t, c.APIURL()+"/metrics/sensors"); code != 404 {
		t.Errorf("/metrics/sensors is %d without sensors: wanted 404", code)
	}
	for name, s := range map[string]SensorData{"interval": {Send: true, Workers: 1}, "workers": {Send: true, Interval: 1}, "wait_timeout": {Send: true, Interval: 1, Workers: 1, Wait: -1}, "topics": {Send: true, Interval: 1, Workers: 1, Topics: []string{"$x"}}} {
		cfg := settings(t)
		cfg.Sensors = s
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v: wanted an error that names %s", s, err, name)
		}
	}
}
