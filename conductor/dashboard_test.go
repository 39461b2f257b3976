// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
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
