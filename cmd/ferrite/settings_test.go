// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/node"
)

// configOf is what flags mean to a conductor.
func configOf(t *testing.T, args ...string) (conductor.Config, error) {
	t.Helper()
	c := &cobra.Command{Use: "x"}
	addSettings(c)
	if err := c.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(c.Flags(), nil, "")
	if err != nil {
		return conductor.Config{}, err
	}
	cfg, err := conductorConfig(s)
	cfg.Logger, cfg.IPMI.Logger = nil, nil
	return cfg, err
}

// other is a value of an option that is not its default, by key where one cannot be made up.
func other(o config.Option) string {
	special := map[string]string{
		"auth_strategy": "http_basic", "enabled_hardware_types": "ipmi", "ipmi.cipher_suite_versions": "3,17", "ipmi.quirks": "acme:padding",
		"pprof_listen": "127.0.0.1:6060", "api_listen": "127.0.0.1:1", "nats_url": "nats://127.0.0.1:1",
		"gossip_listen": "127.0.0.1:7946", "raft_listen": "127.0.0.1:1", "remote_listen": "127.0.0.1:1", "nats_routes_listen": "127.0.0.1:1",
		"advertise_address": "127.0.0.1", "join": "127.0.0.2:7946",
		"nova.auth_url": "http://127.0.0.1:1", "nova.endpoint_override": "http://127.0.0.1:1/v2.1",
	}
	switch {
	case special[o.Key] != "":
		return special[o.Key]
	case strings.HasPrefix(o.Key, "enabled_"):
		return knownInterfaces(strings.TrimSuffix(strings.TrimPrefix(o.Key, "enabled_"), "_interfaces"))[0]
	case strings.HasPrefix(o.Key, "default_") && strings.HasSuffix(o.Key, "_interface"):
		return node.EnabledInterfaces()[strings.TrimSuffix(strings.TrimPrefix(o.Key, "default_"), "_interface")][0]
	}
	switch o.Kind {
	case config.Duration:
		return "77s"
	case config.Int:
		return "77"
	case config.Bool:
		if o.Default == "true" {
			return "false"
		}
		return "true"
	case config.Enum:
		for _, a := range o.Allowed {
			if a != o.Default {
				return a
			}
		}
	default:
	}
	return "77"
}

// elsewhereUsed are the options that no field of conductor.Config stands for.
var elsewhereUsed = map[string]string{
	"insecure": "judged by package config", "log_level": "logSettings", "log_format": "logSettings",
	"tls_ca": "TestConductorsSpeakTLS of package test", "tls_cert": "the same", "tls_key": "the same",
	"api_tls_cert": "TestFilesAreRead", "api_tls_key": "TestFilesAreRead", "cluster_key_file": "TestFilesAreRead",
}

// needs are the flags that an option makes no sense without.
var needs = map[string][]string{
	"raft_listen":            {"--gossip-listen=127.0.0.1:7946"},
	"remote_listen":          {"--gossip-listen=127.0.0.1:7946"},
	"nats_routes_listen":     {"--gossip-listen=127.0.0.1:7946"},
	"advertise_address":      {"--gossip-listen=127.0.0.1:7946"},
	"gossip_profile":         {"--gossip-listen=127.0.0.1:7946"},
	"join":                   {"--gossip-listen=127.0.0.1:7946", "--cluster-key-file=KEY"},
	"bootstrap_expect":       {"--gossip-listen=127.0.0.1:7946", "--join=127.0.0.2:7946", "--cluster-key-file=KEY"},
	"auth_strategy":          {"--htpasswd-file=x"},
	"nats_listen":            {"--nats-htpasswd-file=x"},
	"nats_jetstream":         {"--nats-url=nats://127.0.0.1:1"},
	"nova.auth_url":          {"--nova-username=u", "--nova-password=p", "--nova-project-name=s"},
	"nova.endpoint_override": {"--nova-auth-type=none"},
}

func TestEverySettingWithoutANoteReachesTheConductor(t *testing.T) {
	normal, err := configOf(t)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(key, []byte(conductor.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	reached := 0
	for _, o := range config.Options {
		if o.Note != "" || elsewhereUsed[o.Key] != "" {
			continue
		}
		args := []string{"--" + o.Flag() + "=" + other(o)}
		base := normal
		if more := slices.Clone(needs[o.Key]); more != nil {
			for i := range more {
				more[i] = strings.Replace(more[i], "=KEY", "="+key, 1)
			}
			args = append(args, more...)
			if base, err = configOf(t, more...); err != nil {
				t.Fatal(err)
			}
		}
		got, err := configOf(t, args...)
		if err != nil {
			t.Errorf("%s: %v", o.Key, err)
			continue
		}
		if reflect.DeepEqual(got, base) {
			t.Errorf("%s=%s changes nothing: map it in settings.go, or give it a note", o.Key, other(o))
		}
		reached++
	}
	if reached < 60 {
		t.Errorf("only %d settings were tried", reached)
	}
}

func TestDefaultsOfSettingsAreThoseOfTheConductor(t *testing.T) {
	got, err := configOf(t)
	if err != nil {
		t.Fatal(err)
	}
	want := conductor.Defaults()
	want.Logger, want.IPMI.Logger = nil, nil
	want.Version, want.DataDir, want.Policy.Defaults, want.Fake = version, got.DataDir, map[string]string{}, got.Fake
	if !reflect.DeepEqual(got, want) {
		t.Errorf("settings say\n%+v\nconductor.Defaults says\n%+v", got, want)
	}
}

func TestFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	cert, key, ck := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "cluster.key")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"ironic.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}),
		ck:   []byte(conductor.NewKey() + "\n"),
	} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := configOf(t, "--api-tls-cert", cert, "--api-tls-key", key, "--cluster-key-file", ck)
	if err != nil {
		t.Fatal(err)
	}
	if got.APITLS == nil || got.APITLS.GetCertificate == nil || len(got.Key) != conductor.KeySize {
		t.Errorf("TLS %v, key of %d bytes", got.APITLS, len(got.Key))
	}
}

func TestPasswordsInURLsAreHidden(t *testing.T) {
	for in, want := range map[string]string{
		"nats://ann:secret@a:1,nats://bob:hidden@b:2": "nats://ann:xxxxx@a:1,nats://bob:xxxxx@b:2",
		"nats://a:1": "nats://a:1", "": "", "user@host": "user@host",
	} {
		if got := withoutPassword(in); got != want {
			t.Errorf("%q became %q, wanted %q", in, got, want)
		}
	}
}
