// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// TestRules: what options say of one another. want "" = accepted.
func TestRules(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--api-listen=0.0.0.0:6385", `api_listen is "0.0.0.0:6385" and auth_strategy is noauth`},
		{"--api-listen=:6385", "auth_strategy is noauth"},
		{"--api-listen=[::]:6385", "auth_strategy is noauth"},
		{"--api-listen=bmc-net.example:6385", "auth_strategy is noauth"},
		{"--api-listen=0.0.0.0:6385 --insecure", ""},
		{"--api-listen=127.9.9.9:6385", ""},
		{"--api-listen=[::1]:6385", ""},
		{"--api-listen=localhost:6385", ""},
		{"--api-listen=0.0.0.0:6385 --auth-strategy=http_basic --htpasswd-file=users", ""},
		{"--auth-strategy=http_basic", "htpasswd_file is not set"},
		{"--api-tls-cert=c.pem", "api_tls_cert and api_tls_key go together"},
		{"--api-tls-key=k.pem", "api_tls_cert and api_tls_key go together"},
		{"--api-tls-cert=c.pem --api-tls-key=k.pem", ""},
		{"--pprof-listen=0.0.0.0:6060", `pprof_listen is "0.0.0.0:6060"`},
		{"--pprof-listen=127.0.0.1:6060", ""},
		{"--api-listen=nonsense --insecure", `api_listen is "nonsense": wanted host:port`},
		{"--api-listen= --insecure", `api_listen is "": wanted host:port`},
		{"--api-listen=127.0.0.1:http", "wanted host:port"},
		{"--api-listen=127.0.0.1:65536", "wanted host:port"},
		{"--api-listen=127.0.0.1:0", ""},
		{"--nats-listen=", ""},
		{"--nats-listen=10.0.0.1:4222", "everybody who reaches that address could listen"},
		{"--nats-listen=10.0.0.1:4222 --insecure", ""},
		{"--nats-listen=10.0.0.1:4222 --nats-htpasswd-file=f", ""},
		{"--nats-listen= --nats-htpasswd-file=f", "there is no embedded NATS server"},
		{"--pprof-listen=6060", `pprof_listen is "6060": wanted host:port`},
		{"--conductor-group=rack-7_b.2", ""},
		{"--conductor-group=rack/7", `conductor_group is "rack/7": wanted letters`},
		{"--nats-url=nats://n:4222", ""},
		{"--nats-url=nats://n:4222 --nats-listen=", ""},
		{"--nats-url=nats://n:4222 --nats-listen=127.0.0.1:4333", "nats_url and nats_listen are both set"},
		{"--nats-url=nats://n:4222 --nats-listen=127.0.0.1:4222", "nats_url and nats_listen are both set"},
	} {
		_, _, err := load(t, strings.Fields(c.args), nil, "")
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.args, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, wanted %q", c.args, err, c.want)
		}
	}
}

// TestAnExistingNATSReplacesTheEmbeddedOne: else the file that "config show --effective -o yaml" prints would be refused.
func TestAnExistingNATSReplacesTheEmbeddedOne(t *testing.T) {
	if got := mustLoad(t, nil, nil, "").String("nats_listen"); got == "" {
		t.Error("no embedded NATS by default")
	}
	c := mustLoad(t, []string{"--nats-url=nats://n:4222"}, nil, "")
	if got := c.String("nats_listen"); got != "" || c.Given("nats_listen") {
		t.Errorf("nats_listen is %q beside nats_url, given %v; wanted none", got, c.Given("nats_listen"))
	}
}
