// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

// What alarms and the dashboard ask for must be what /metrics says.
func TestAlarmsAndDashboardKnowTheMetrics(t *testing.T) {
	known := map[string]bool{}
	ch := make(chan *prometheus.Desc)
	go func() { newCollector(&Conductor{}).Describe(ch); newAPICollector(&front{}).Describe(ch); close(ch) }()
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	for d := range ch {
		known[name.FindStringSubmatch(d.String())[1]] = true
	}
	asked := regexp.MustCompile(`\b(?:conductor|ironic)_[a-z_]+`)
	for _, file := range []string{"../packaging/prometheus/alerts.yaml", "../packaging/prometheus/alerts_test.yaml", "../packaging/grafana/ferrite.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := asked.FindAllString(string(b), -1)
		if len(names) < 4 {
			t.Errorf("%s asks for %v only", file, names)
		}
		for _, n := range names {
			if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(n, ""); !known[n] && !known[base] {
				t.Errorf("%s asks for %s, which /metrics does not have", file, n)
			}
		}
		if file[len(file)-5:] == ".json" && !json.Valid(b) {
			t.Errorf("%s is no JSON", file)
		}
	}
}

// TestEveryAlarmIsTried: the rules' own tests let each alarm be silent and let it fire; promtool runs them where it is
// installed.
func TestEveryAlarmIsTried(t *testing.T) {
	read := func(file string, into any) {
		t.Helper()
		b, err := os.ReadFile("../packaging/prometheus/" + file)
		if err == nil {
			err = yaml.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	var trials struct {
		Tests []struct {
			Rules []struct {
				Alarm string `yaml:"alertname"`
				Fires []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read("alerts.yaml", &rules)
	read("alerts_test.yaml", &trials)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, group := range trials.Tests {
		for _, r := range group.Rules {
			map[bool]map[string]bool{true: fires, false: silent}[len(r.Fires) > 0][r.Alarm] = true
		}
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if !fires[r.Alert] || !silent[r.Alert] {
				t.Errorf("%s: fires in a test %t, is silent in one %t; wanted both", r.Alert, fires[r.Alert], silent[r.Alert])
			}
		}
	}
	if len(rules.Groups) == 0 || len(rules.Groups[0].Rules) < 10 {
		t.Errorf("found %+v", rules)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		promtool, err = exec.LookPath("../bin/promtool")
	}
	if err != nil {
		t.Fatalf("%v: it runs the rules; scripts/test-deps fetches it (make test does so)", err)
	}
	if out, err := exec.Command(promtool, "test", "rules", "../packaging/prometheus/alerts_test.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
