// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
)

// settle gives settings that nobody set the value that others imply.
func (c *Config) settle() {
	if c.String("nats_url") != "" && !c.Given("nats_listen") {
		c.values["nats_listen"] = value{source: byDefault} // an existing NATS: no embedded one
	}
}

// rule is one thing that options say of one another: broken reports whether it is, and says what was wanted.
type rule func(c *Config) (broken bool, wanted string)

// rules are all of them.
var rules = []rule{
	func(c *Config) (bool, string) {
		return (c.String("api_tls_cert") == "") != (c.String("api_tls_key") == ""),
			"api_tls_cert and api_tls_key go together: wanted both or neither"
	},
	func(c *Config) (bool, string) {
		return c.String("auth_strategy") == "http_basic" && c.String("htpasswd_file") == "",
			"auth_strategy is http_basic, but htpasswd_file is not set: wanted a file of user:bcrypt lines"
	},
	func(c *Config) (bool, string) {
		return c.String("auth_strategy") == "noauth" && !c.Bool("insecure") && !Loopback(c.String("api_listen")),
			fmt.Sprintf("api_listen is %q and auth_strategy is noauth: everybody who reaches that address could drive your "+
				"machines. Use http_basic, or say --insecure if that is wanted", c.String("api_listen"))
	},
	func(c *Config) (bool, string) {
		listen := c.String("pprof_listen")
		return listen != "" && !Loopback(listen), fmt.Sprintf("pprof_listen is %q: wanted a loopback address", listen)
	},
	func(c *Config) (bool, string) {
		return c.String("nats_url") != "" && c.String("nats_listen") != "",
			"nats_url and nats_listen are both set: wanted an existing NATS or an embedded one"
	},
}

// check applies the rules.
func (c *Config) check() []error {
	var all []error
	for _, r := range rules {
		if broken, wanted := r(c); broken {
			all = append(all, fmt.Errorf("%s", wanted))
		}
	}
	return all
}

// Loopback reports whether an address to listen on can be reached from this machine alone. No host = all addresses.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
