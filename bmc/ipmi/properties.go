// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

// properties are the keys of driver_info that this driver reads (GET /v1/drivers/ipmi/properties).
var properties = map[string]string{
	"ipmi_address":              "IP address or host name of the BMC. Required.",
	"ipmi_username":             "User name; the default is the NULL user. Optional.",
	"ipmi_password":             "Password, up to 20 bytes; the default is the NULL password. Optional.",
	"ipmi_hex_kg_key":           "Kg key for IPMI v2.0 authentication, as hexadecimal digits, up to 20 bytes; the default is the password. Optional.",
	"ipmi_port":                 "UDP port of the BMC, 0 to 65535; the default is 623. Optional.",
	"ipmi_priv_level":           "Privilege level; the default is ADMINISTRATOR. One of ADMINISTRATOR, CALLBACK, OPERATOR, USER. Optional.",
	"ipmi_bridging":             "Kind of bridging; the default is \"no\". One of \"no\", \"single\", \"dual\". Optional.",
	"ipmi_transit_channel":      "Transit channel of bridged requests. Required only if ipmi_bridging is \"dual\".",
	"ipmi_transit_address":      "Transit address of bridged requests. Required only if ipmi_bridging is \"dual\".",
	"ipmi_target_channel":       "Destination channel of bridged requests. Required only if ipmi_bridging is \"single\" or \"dual\".",
	"ipmi_target_address":       "Destination address of bridged requests. Required only if ipmi_bridging is \"single\" or \"dual\".",
	"ipmi_local_address":        "Local IPMB address of bridged requests; used only if ipmi_bridging is \"single\" or \"dual\". Optional.",
	"ipmi_protocol_version":     "Version of the IPMI protocol; the default is \"2.0\". One of \"1.5\", \"2.0\". Optional.",
	"ipmi_force_boot_device":    "Whether the boot device is set again each time the machine is switched on, for BMCs that forget it; the default is false. Optional.",
	"ipmi_disable_boot_timeout": "Whether the BMC is told to keep the boot device for longer than 60 seconds; the default is the option [ipmi]disable_boot_timeout (true). Optional.",
	"ipmi_quirks":               "What this BMC does unlike the standard, as names with commas between; the default is what its vendor's do ([ipmi]quirks). A name with + or - changes that, \"none\" takes it away. Optional.",
	"ipmi_cipher_suite":         "Number of the cipher suite, 17 (AES-128 with SHA-256) or 3 (AES-128 with SHA-1); the default is to find out, 17 first. Optional.",
}
