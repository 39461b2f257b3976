// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// How to sign in (nova.auth_type).
const (
	None     = "none"     // no token: tests, and a Nova behind noauth
	Password = "password" // name and password at Keystone, API v3
)

// Config of a Caller. Options of Ironic's group [nova] keep their names.
type Config struct {
	Auth     string // None or Password
	Endpoint string // endpoint_override: "http://nova.example:8774/v2.1"; "" = from Keystone's catalogue

	AuthURL       string // Keystone, with or without /v3
	User          string // username
	Password      string
	UserDomain    string   // user_domain_name; "" = Default
	Project       string   // project_name
	ProjectDomain string   // project_domain_name; "" = Default
	Region        string   // region_name; "" = any
	Interfaces    []string // valid_interfaces, best first; none = internal, public

	CAFile   string        // cafile: PEM, instead of the system's
	Insecure bool          // do not check certificates
	Timeout  time.Duration // of one HTTP request; 0 = 10 s

	Logger *slog.Logger
	Pause  func(try int) time.Duration // before try 2 and 3; nil = about 1 s, 2 s
}

// Configured reports whether it is said where Nova is.
func (c Config) Configured() bool { return c.Endpoint != "" || c.AuthURL != "" }

// Validate names the setting that cannot be.
func (c Config) Validate() error {
	if !c.Configured() {
		return nil
	}
	switch c.Auth {
	case None:
		if c.Endpoint == "" {
			return errors.New("nova.endpoint_override is empty: nova.auth_type none has no catalogue to find Nova in")
		}
	case Password:
		for _, need := range []struct{ key, value string }{
			{"nova.auth_url", c.AuthURL}, {"nova.username", c.User}, {"nova.password", c.Password}, {"nova.project_name", c.Project},
		} {
			if need.value == "" {
				return fmt.Errorf("%s is empty: nova.auth_type password needs it; none signs in nowhere", need.key)
			}
		}
	default:
		return fmt.Errorf("nova.auth_type is %q: wanted none or password", c.Auth)
	}
	for _, u := range []struct{ key, value string }{{"nova.endpoint_override", c.Endpoint}, {"nova.auth_url", c.AuthURL}} {
		if u.value == "" {
			continue
		}
		if p, err := url.Parse(u.value); err != nil || p.Host == "" || p.Scheme != "http" && p.Scheme != "https" || p.User != nil {
			return fmt.Errorf("%s: wanted http://host:port/path or https://…, without a password, found %q", u.key, redact(u.value))
		}
	}
	for _, i := range c.Interfaces {
		if !slices.Contains([]string{"internal", "public", "admin"}, i) {
			return fmt.Errorf("nova.valid_interfaces holds %q: wanted some of internal, public, admin", i)
		}
	}
	if _, err := c.trust(); err != nil {
		return err
	}
	return nil
}

func redact(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "..." + text[i:]
	}
	return text
}

// trust reads cafile.
func (c Config) trust() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("nova.cafile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("nova.cafile %s: wanted certificates in PEM, found none", c.CAFile)
	}
	return pool, nil
}

// client is the HTTP client for Nova and Keystone.
func (c Config) client() (*http.Client, error) {
	pool, err := c.trust()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: c.Timeout,
		// A POST that is sent elsewhere is no POST any more: say so rather than follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: c.Timeout}).DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: pool, InsecureSkipVerify: c.Insecure, MinVersion: tls.VersionTLS12}, //nolint:gosec // nova.insecure, as in Ironic
			TLSHandshakeTimeout: c.Timeout, MaxIdleConnsPerHost: 1, IdleConnTimeout: 60 * time.Second,
		},
	}, nil
}

// Defaults are those of Ironic's group [nova]. They say nowhere that Nova is.
func Defaults() Config {
	return Config{Auth: Password, UserDomain: "Default", ProjectDomain: "Default", Interfaces: []string{"internal", "public"}, Timeout: 10 * time.Second}
}
