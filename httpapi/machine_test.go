// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"ferrite/inventory"
	"ferrite/node"
)

// TestRAID: PUT states/raid stores what the node then shows; {} takes it back.
func TestRAID(t *testing.T) {
	w := newWorld(t)
	id := w.create(`{"driver":"fake-hardware","raid_interface":"fake"}`)
	w.want(204, "PUT", "/v1/nodes/"+id+"/states/raid", `{"logical_disks":[{"size_gb":100,"raid_level":"1","is_root_volume":true,"physical_disks":["0","1"]},{"size_gb":"MAX","raid_level":"5+0"}]}`)
	for _, path := range []string{"/v1/nodes/" + id, "/v1/nodes/" + id + "/states"} {
		if got := fmt.Sprint(w.want(200, "GET", path, "").get("target_raid_config")); !strings.Contains(got, "5+0") {
			t.Errorf("%s shows %s", path, got)
		}
	}
	for body, text := range map[string]string{
		`{"logical_disks":[]}`:                                                    "at least one",
		`{"logical_disks":7}`:                                                     "wanted a list",
		`{"x":1}`:                                                                 "'x' was unexpected",
		`{"logical_disks":[7]}`:                                                   "wanted an object",
		`{"logical_disks":[{"size_gb":1}]}`:                                       "'raid_level' is a required property",
		`{"logical_disks":[{"raid_level":"1"}]}`:                                  "'size_gb' is a required property",
		`{"logical_disks":[{"raid_level":"9","size_gb":1}]}`:                      "raid_level is 9",
		`{"logical_disks":[{"raid_level":"1","size_gb":0}]}`:                      "size_gb is 0",
		`{"logical_disks":[{"raid_level":"1","size_gb":1.5}]}`:                    "size_gb is 1.5",
		`{"logical_disks":[{"raid_level":"1","size_gb":1,"a":1}]}`:                "'a' was unexpected",
		`{"logical_disks":[{"raid_level":"1","size_gb":1,"physical_disks":[1]}]}`: "physical_disks",
		`{"logical_disks":[{"raid_level":"1","size_gb":1,"is_root_volume":true},{"raid_level":"1","size_gb":1,"is_root_volume":true}]}`: "more than one root volume",
	} {
		if a := w.want(400, "PUT", "/v1/nodes/"+id+"/states/raid", body); !strings.Contains(a.fault(t)["faultstring"].(string), text) {
			t.Errorf("%s: %s; wanted %q", body, a.text, text)
		}
	}
	w.want(204, "PUT", "/v1/nodes/"+id+"/states/raid", `{}`)
	if got := w.want(200, "GET", "/v1/nodes/"+id, "").get("target_raid_config"); len(got.(map[string]any)) != 0 {
		t.Errorf("taken back, but it shows %v", got)
	}
	if got := w.want(200, "GET", "/v1/drivers/fake-hardware/raid/logical_disk_properties", ""); len(got.object()) != 10 {
		t.Errorf("logical disk properties: %s", got.text)
	}
}

// TestBootSettings: the request is taken, the node says afterwards that no driver can do it.
func TestBootSettings(t *testing.T) {
	w := newWorld(t)
	id := w.create(`{"driver":"ipmi","name":"n1"}`)
	for path, c := range map[string][2]string{
		"boot_mode":   {`{"target":"bios"}`, "Failed to change boot mode to 'bios: Driver ipmi does not support set_boot_mode (disabled or not implemented)."},
		"secure_boot": {`{"target":true}`, "Failed to change secure_boot state to 'True': Driver ipmi does not support set_secure_boot_state (disabled or not implemented)."},
	} {
		a := w.want(202, "PUT", "/v1/nodes/n1/states/"+path, c[0])
		if got := a.Header.Get("Location"); !strings.HasSuffix(got, "/v1/nodes/n1/states") {
			t.Errorf("%s: location %q", path, got)
		}
		if got := w.want(200, "GET", "/v1/nodes/"+id, ""); got.get("last_error") != c[1] || got.get(path) != nil {
			t.Errorf("%s: %s", path, got.text)
		}
	}
}

// TestAnEmptyPatchIsAnUpdate: it goes to the owner, who minds the lock and tells subscribers start and end, as Ironic's
// does; nothing changes.
func TestAnEmptyPatchIsAnUpdate(t *testing.T) {
	w := newWorld(t)
	id := w.create(`{"driver":"fake-hardware"}`)
	port, _ := w.want(201, "POST", "/v1/ports", `{"node_uuid":"`+id+`","address":"52:54:00:00:00:01"}`).get("uuid").(string)
	w.owner.asked = nil
	before := w.want(200, "GET", "/v1/nodes/"+id, "")
	after := w.want(200, "PATCH", "/v1/nodes/"+id, `[]`)
	if before.text != after.text || before.Header.Get("ETag") != after.Header.Get("ETag") {
		t.Errorf("it changed\n%s\nto\n%s", before.text, after.text)
	}
	w.want(200, "PATCH", "/v1/ports/"+port, `[]`)
	if len(w.owner.asked) != 2 {
		t.Fatalf("asked %v; wanted two updates", w.owner.asked)
	}
	if m, ok := w.owner.asked[0].(node.UpdateNode); !ok || len(m.Changed) != 0 {
		t.Errorf("asked %+v", w.owner.asked[0])
	}
	if m, ok := w.owner.asked[1].(inventory.UpdatePort); !ok || len(m.Changed) != 0 {
		t.Errorf("asked %+v", w.owner.asked[1])
	}
}
