// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
)

// settle gives settings that nobody set the value that others imply.
func (c *Config) settle() {
	if c.String("nats_url") != "" && !c.Given("nats_listen") {
		c.values["nats_listen"] = value{source: byDefault} // an existing NATS: no embedded one
	}
}

// rule is one thing that must hold: broken reports whether it does not, and says what was wanted.
type rule func(c *Config) (broken bool, wanted string)

// forms are rules of one value each; the other rules rely on them.
var forms = []rule{
	func(c *Config) (bool, string) { return badAddress(c, "api_listen") },
	func(c *Config) (bool, string) {
		bad, wanted := badAddress(c, "pprof_listen")
		return bad && c.String("pprof_listen") != "", wanted
	},
	func(c *Config) (bool, string) {
		return !group.MatchString(c.String("conductor_group")),
			fmt.Sprintf("conductor_group is %q: wanted letters, digits, \"_\", \"-\" and \".\", or nothing", c.String("conductor_group"))
	},
}

// rules are what options say of one another.
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
		listen := c.String("nats_listen")
		return listen != "" && c.String("nats_htpasswd_file") == "" && !c.Bool("insecure") && !Loopback(listen),
			fmt.Sprintf("nats_listen is %q and nats_htpasswd_file is not set: everybody who reaches that address could listen to what "+
				"your machines do. Name a file of users, or say --insecure if that is wanted", listen)
	},
	func(c *Config) (bool, string) {
		return c.String("nats_htpasswd_file") != "" && c.String("nats_listen") == "",
			"nats_htpasswd_file is set, but there is no embedded NATS server: set nats_listen, or leave it away"
	},
	func(c *Config) (bool, string) {
		return c.String("nats_url") != "" && c.String("nats_listen") != "",
			"nats_url and nats_listen are both set: wanted an existing NATS or an embedded one"
	},
}

// group is what Ironic allows in the name of a conductor group.
var group = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)

// badAddress is the rule of an address to listen on. A host is not looked up: that is for the listener.
func badAddress(c *Config, key string) (bool, string) {
	text := c.String(key)
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err != nil, fmt.Sprintf("%s is %q: wanted host:port, like 127.0.0.1:6385; port 0 takes a free one", key, text)
}

// check applies the forms and then, if they hold, the rules.
func (c *Config) check() []error {
	if all := c.broken(forms); len(all) > 0 {
		return all
	}
	return c.broken(rules)
}

func (c *Config) broken(rules []rule) []error {
	var all []error
	for _, r := range rules {
		if broken, wanted := r(c); broken {
			all = append(all, errors.New(wanted))
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
