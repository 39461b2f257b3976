// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"reflect"
	"testing"
)

func TestSecretKey(t *testing.T) {
	for key, want := range map[string]bool{
		"ipmi_password": true, "redfish_Password": true, "snmp_auth_key": true, "snmp_priv_key": true,
		"ipmi_hex_kg_key": true, "agent_secret_token": true, "image_url": true, "configdrive": true,
		"ipmi_username": false, "ipmi_address": false, "image_source": false, "deploy_kernel": false,
		"snmp_auth_protocol": false, "ipmi_cipher_suite": false, "": false,
	} {
		if got := SecretKey(key); got != want {
			t.Errorf("SecretKey(%q) = %v, want %v", key, got, want)
		}
	}
}

func TestMask(t *testing.T) {
	in := map[string]any{
		"ipmi_password": "x",
		"ipmi_address":  "10.0.0.1",
		"number_token":  float64(7),
		"deep":          map[string]any{"list": []any{"a", map[string]any{"secret": "y", "open": true}}},
		"plain":         map[string]string{"auth_token": "z", "k": "v"},
	}
	want := map[string]any{
		"ipmi_password": Masked,
		"ipmi_address":  "10.0.0.1",
		"number_token":  Masked,
		"deep":          map[string]any{"list": []any{"a", map[string]any{"secret": Masked, "open": true}}},
		"plain":         map[string]string{"auth_token": Masked, "k": "v"},
	}
	if got := Mask(in); !reflect.DeepEqual(got, want) {
		t.Errorf("Mask = %v\nwant %v", got, want)
	}
	if in["ipmi_password"] != "x" || in["deep"].(map[string]any)["list"].([]any)[1].(map[string]any)["secret"] != "y" {
		t.Error("Mask wrote to its argument")
	}
}

func TestMaskWithoutSecrets(t *testing.T) {
	if got := Mask(nil); got != nil {
		t.Errorf("Mask(nil) = %v, want nil", got)
	}
	in := map[string]any{"a": map[string]any{"b": []any{"c"}}}
	out := Mask(in)
	out["probe"] = true
	if in["probe"] != true {
		t.Error("Mask copied a map without secrets")
	}
}
