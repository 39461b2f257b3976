// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// named counts the commands of a name that a BMC has executed.
func (f *farm) named(i int, name string) int {
	n := 0
	list, _ := f.get(i)["commands"].([]any)
	for _, c := range list {
		if m, _ := c.(map[string]any); m["name"] == name {
			n++
		}
	}
	return n
}

// TestSensorsAreCollected: the real binary reads the sensors of a machine, tells NATS and Prometheus, and asks the BMC in
// the one session that the power sweep has too.
func TestSensorsAreCollected(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 2)
	s := newSite(t, "--sync-power-state-interval", "1s", "--sensor-data-send-sensor-data=true", "--sensor-data-interval", "1s", "--sensor-data-enable-for-undeployed-nodes=true")
	nc, err := nats.Connect("nats://" + s.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("notifications.info.hardware.ipmi.metrics")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, doc := s.call("POST", "/v1/nodes", map[string]any{"name": "m1", "driver": "ipmi", "driver_info": f.driverInfo(0)})
	s.call("PUT", "/v1/nodes/m1/states/provision", map[string]any{"target": "manage"})
	s.await("m1", provision("manageable"))
	for range 2 { // a round, and another one
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		var told struct {
			EventType string `json:"event_type"`
			Payload   struct {
				Node    string                                  `json:"node_uuid"`
				Payload map[string]map[string]map[string]string `json:"payload"`
			}
		}
		if err := json.Unmarshal(m.Data, &told); err != nil {
			t.Fatal(err)
		}
		if r := told.Payload.Payload["Temperature"]["Inlet Temp (0x5)"]["Sensor Reading"]; told.EventType != "hardware.ipmi.metrics" || told.Payload.Node != doc["uuid"] || r != "21 (+/- 1) degrees C" {
			t.Fatalf("NATS was told %s", m.Data)
		}
	}
	line := fmt.Sprintf(`baremetal_fan_rpm{node_name="m1",node_uuid="%s",instance_uuid="%[1]s",entity_id="7.1 (System Board)",sensor_id="Fan1A (0x30)",status="ok"} 6840`, doc["uuid"])
	until(t, "the fan at /metrics/sensors", func() bool {
		r, err := http.Get(s.api + "/metrics/sensors")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return strings.Contains(string(b), line)
	})
	bmc := f.get(0)
	if bmc["sessions"] != 1.0 || bmc["polls"] == 0.0 {
		t.Errorf("the BMC has %v sessions and was polled %v times: wanted one session, for the power sweep and the sensors", bmc["sessions"], bmc["polls"])
	}
	code, now := s.call("GET", "/v1/x/nodes/m1/sensors", nil)
	if all, _ := now["sensors"].([]any); code != 200 || len(all) < 10 {
		t.Errorf("GET sensors: %d %v", code, now)
	}
	if code, log := s.call("GET", "/v1/x/nodes/m1/events", nil); code != 200 || len(log["events"].([]any)) != 0 {
		t.Errorf("GET events: %d %v", code, log)
	}
	node := func(args ...string) string {
		out, err := exec.Command(binary, append([]string{"node", "--api", s.api}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("ferrite node %v: %v", args, err)
		}
		return string(out)
	}
	f.put(0, map[string]any{"event": "00000000 2000 04 01 05 01 593c2f"})
	if out := node("events", "m1"); !strings.Contains(out, "Inlet Temp (0x5)  Upper Critical - going high  593c2f") {
		t.Errorf("ferrite node events: %s", out)
	}
	if out := node("sel", "m1", "--clear"); out != "events cleared: m1\n" || f.named(0, "clear sel") == 0 {
		t.Errorf("ferrite node sel --clear: %s", out)
	}
	if out := node("sel", "m1", "-o", "json"); out != "[]\n" {
		t.Errorf("after that there is %s", out)
	}
	if out := node("sensors", "m1", "--alarms"); !strings.Contains(out, "Fan1B (0x31)  Fan   360 RPM  Lower Critical") {
		t.Errorf("ferrite node sensors --alarms: %s", out)
	}
}

// TestVendorMethods: a BMC reset that was sent is never sent again, even if the conductor is killed before it hears of it
// (S12); the light is set and put out.
func TestVendorMethods(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 1)
	s := newSite(t, "--sync-power-state-interval", "0", "--ipmi-min-command-interval", "0")
	s.call("POST", "/v1/nodes", map[string]any{"name": "m1", "driver": "ipmi", "driver_info": f.driverInfo(0)})
	for state, on := range map[string]bool{"on": true, "off": false} {
		if code, doc := s.call("PUT", "/v1/x/nodes/m1/identify", map[string]any{"state": state}); code != 204 || f.get(0)["identify_light"] != on {
			t.Errorf("identify %s: %d %v, the light is on: %v", state, code, doc, f.get(0)["identify_light"])
		}
	}
	if out := s.cli("node", "passthru", "list", "m1"); !strings.Contains(out, "bmc_reset") || !strings.Contains(out, "send_raw") {
		t.Errorf("the CLI lists %s", out)
	}
	s.cli("node", "passthru", "call", "m1", "send_raw", "--arg", "raw_bytes=0x06 0x04")
	s.await("m1", map[string]any{"reservation": nil, "last_error": nil})
	if n := f.named(0, "get self test"); n != 1 {
		t.Errorf("the raw request was sent %d times", n)
	}
	f.put(0, map[string]any{"lose_replies": true})
	if code, doc := s.call("POST", "/v1/nodes/m1/vendor_passthru/bmc_reset", map[string]any{"warm": false}); code != 202 {
		t.Fatalf("bmc_reset: %d %v", code, doc)
	}
	until(t, "the reset", func() bool { return f.named(0, "cold reset") > 0 })
	s.p.kill()
	f.put(0, map[string]any{"lose_replies": false})
	s.start()
	until(t, "an end that says what is not known", func() bool {
		text, _ := s.node("m1")["last_error"].(string)
		return strings.Contains(text, "outcome unknown") && strings.Contains(text, "bmc_reset")
	})
	s.await("m1", map[string]any{"reservation": nil})
	if n := f.named(0, "cold reset"); n != 1 {
		t.Errorf("the BMC was reset %d times: wanted once", n)
	}
}
