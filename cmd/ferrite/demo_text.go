// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// try is one command to type, and what it shows.
type try struct{ command, why string }

// introduce prints where everything is and what to do with it.
func (d *demo) introduce(took time.Duration) {
	on := 0
	for i := range d.o.bmcs {
		if demoOn(i) {
			on++
		}
	}
	first, last := d.fleet.Addr(d.o.bmcs), d.fleet.Addr(d.fleet.Len()-1)
	d.say("")
	d.say("%s after %.1f s: %d machines are available, %d of them on.", d.colour.paint(bold, "Ready"), took.Seconds(), d.o.bmcs, on)
	d.say("%d more BMCs wait for you to enroll: %s to %s, port %d, user admin, password password.", demoSpare, first.Addr(), last.Addr(), first.Port())
	d.say("")
	rows := [][2]string{{"API", d.apiURL()}, {"NATS", d.natsURL()}, {"BMCs' control", "http://" + d.fleet.ControlAddr()}, {"metrics", d.apiURL() + "/metrics"}}
	if d.cluster != nil {
		rows = append(d.cluster.addresses(), rows[2])
	}
	for _, row := range rows {
		d.say("  %-15s %s", row[0], d.colour.paint(cyan, row[1]))
	}
	d.say("")
	d.say("Settings that the demo has chosen:")
	force := "a machine whose power changed behind our back is believed, not put back"
	if d.o.force {
		force = "a machine whose power changed behind our back is put back, as in Ironic"
	}
	for _, row := range [][2]string{
		{fmt.Sprintf("force_power_state_during_sync=%t", d.o.force), force},
		{"sync_power_state_interval=" + d.o.sync.String(), "every machine's power is read this often"},
		{"notification_level=info", "every change is told on NATS"},
	} {
		d.say("  %-38s %s", row[0], d.colour.paint(dim, row[1]))
	}
	d.say("")
	d.say("Try, in another terminal:")
	for _, t := range d.tries() {
		d.say("  %s", d.colour.paint(dim, "# "+t.why))
		d.say("  %s", t.command)
	}
	d.say("")
	if d.cluster != nil {
		d.cluster.introduce()
	}
	d.say("Ctrl-C ends all of it.")
}

// tries are five commands for the real CLI, or for curl where it is missing.
func (d *demo) tries() []try {
	off, on := demoName(1%d.o.bmcs), demoName(0) // the second machine is off at first, the first one on
	pull := try{
		fmt.Sprintf(`curl -s -X PUT http://%s/bmcs/0 -d '{"power":"off"}'`, d.fleet.ControlAddr()),
		"pull the plug of " + on + ", which is on, behind the conductor's back",
	}
	tail := try{
		self() + " notifications tail" + flagUnless("--nats-url", d.natsURL(), "nats://127.0.0.1:4222"),
		"watch the notifications (in a terminal of its own)",
	}
	found := "what became of the record, within " + d.o.sync.String()
	if d.cluster != nil {
		tail.why = "watch the notifications, of all conductors (in a terminal of its own)"
	}
	if cli := findCLI(); cli != "" {
		return []try{
			tail,
			{"export OS_AUTH_TYPE=none OS_ENDPOINT=" + d.apiURL() + "\n  " + cli + " node list", "all machines, by the real CLI of Ironic"},
			{cli + " node power on " + off, "switch one on"},
			pull,
			{cli + " node show " + on + " --fields name power_state last_error updated_at", found},
		}
	}
	curl := "curl -s -H 'X-OpenStack-Ironic-API-Version: 1.89' "
	base := d.apiURL() + "/v1/nodes"
	return []try{
		tail,
		{curl + "'" + base + "?fields=name,power_state,provision_state&limit=5'", "some machines (the baremetal CLI is missing: apt-get install python3-ironicclient)"},
		{curl + "-X PUT -H 'Content-Type: application/json' -d '{\"target\":\"power on\"}' " + base + "/" + off + "/states/power", "switch one on"},
		pull,
		{curl + "'" + base + "/" + on + "?fields=name,power_state,last_error,updated_at'", found},
	}
}

// findCLI is the baremetal CLI as one would type it; "" = there is none.
func findCLI() string {
	if _, err := exec.LookPath("baremetal"); err == nil {
		return "baremetal"
	}
	const debian = "/usr/bin/baremetal"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return ""
}

// self is this binary as it was typed.
func self() string {
	if strings.Contains(os.Args[0], "/") {
		return os.Args[0]
	}
	return "ferrite"
}

// flagUnless is a flag to add when a value is not the default.
func flagUnless(flag, value, normal string) string {
	if value == normal {
		return ""
	}
	return " " + flag + " " + value
}
