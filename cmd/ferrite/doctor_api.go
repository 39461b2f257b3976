// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/internal/config"
)

// apiTarget is the API that doctor and support-bundle ask: any path, with any answer.
type apiTarget struct {
	base           *url.URL
	derived        bool // from the settings: it is that of the conductor on this machine
	http           *http.Client
	user, password string
	stale          string // of the last answer: for how many seconds no quorum could confirm it; "" = it is confirmed
}

const (
	doctorTimeout = 10 * time.Second // of one request
	doctorAnswer  = 8 << 20          // bytes of an answer
)

// headerStale asks for an answer that need not be confirmed, and tells of one that is not (docs/CLUSTER.md).
const headerStale = "Ferrite-Stale"

// newAPITarget finds the API: --api, else where the settings say that this machine's conductor listens.
func newAPITarget(a *apiFlags, s *config.Config) (*apiTarget, error) {
	t := &apiTarget{user: a.user, password: os.Getenv("FERRITE_API_PASSWORD")}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	where := a.url
	if where == "" {
		where, t.derived = ownAPI(s), true
		if file := s.String("api_tls_cert"); file != "" && a.ca == "" {
			trust.InsecureSkipVerify = true //nolint:gosec // exactly the certificate of the file is trusted, whatever its names
			trust.VerifyConnection = func(c tls.ConnectionState) error { return sameCertificate(file, c.PeerCertificates) }
		}
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--api is %q: wanted http://host:port or https://host:port", withoutPassword(where))}
	}
	if u.User != nil {
		t.user = u.User.Username()
		t.password, _ = u.User.Password()
		u.User = nil
	}
	t.base = u
	if a.passwordFile != "" {
		b, err := os.ReadFile(a.passwordFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("--password-file: %w", err)}
		}
		t.password = strings.TrimRight(string(b), "\r\n")
	}
	if a.ca != "" {
		b, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca-file: %w", err)}
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(b) {
			return nil, usageError{fmt.Errorf("--ca-file %s: wanted certificates in PEM, found none", a.ca)}
		}
	}
	t.http = &http.Client{Timeout: doctorTimeout, Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	return t, nil
}

// ownAPI is the address of the API that the settings describe, as seen from this machine.
func ownAPI(s *config.Config) string {
	scheme := "http://"
	if s.String("api_tls_cert") != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(s.String("api_listen"))
	if err != nil {
		return scheme + s.String("api_listen")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// sameCertificate wants the server to show the certificate of a file.
func sameCertificate(file string, shown []*x509.Certificate) error {
	b, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil || len(shown) == 0 || !bytes.Equal(block.Bytes, shown[0].Raw) {
		return fmt.Errorf("the certificate shown is not that of %s", file)
	}
	return nil
}

// get asks for a path; what cannot be confirmed will do. The error is for no answer at all.
func (t *apiTarget) get(ctx context.Context, path string) (status int, body []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base.String()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	q.Header.Set("User-Agent", "ferrite-doctor/"+version)
	q.Header.Set("X-OpenStack-Ironic-API-Version", wire.VersionString(wire.MaxMinor))
	q.Header.Set(headerStale, "1")
	if t.user != "" {
		q.SetBasicAuth(t.user, t.password)
	}
	r, err := t.http.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is told with it
		}
		return 0, nil, err
	}
	defer r.Body.Close()
	t.stale = r.Header.Get(headerStale)
	body, err = io.ReadAll(io.LimitReader(r.Body, doctorAnswer))
	return r.StatusCode, body, err
}

// json asks for a path and reads its answer into out; an answer that is none of 200 is an error.
func (t *apiTarget) json(ctx context.Context, path string, out any) (status int, err error) {
	status, body, err := t.get(ctx, path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s is answered with %d %s", path, status, http.StatusText(status))
	}
	if err == nil {
		err = json.Unmarshal(body, out)
	}
	return status, err
}

// fleetSummary is the answer of GET /v1/x/summary, as far as it is used here.
type fleetSummary struct {
	Conductor   string          `json:"conductor"`
	Nodes       int             `json:"nodes"`
	Power       map[string]int  `json:"power_state"`
	Provision   map[string]int  `json:"provision_state"`
	Maintenance map[string]int  `json:"maintenance"`
	Faults      []troubledNode  `json:"faults"`
	Quarantined int             `json:"quarantined"`
	Quarantine  []troubledNode  `json:"quarantine"`
	Operations  int             `json:"operations"`
	Oldest      *oldOperation   `json:"oldest_operation"`
	Classes     []nodeClass     `json:"classes"`
	raw         json.RawMessage // as it came
}

type troubledNode struct {
	Node string `json:"node_uuid"`
	Name string `json:"node_name"`
	Why  string `json:"why"`
}

type oldOperation struct {
	Node  string     `json:"node_uuid"`
	Name  string     `json:"node_name"`
	Verb  string     `json:"verb"`
	Since *time.Time `json:"since"`
}

type nodeClass struct {
	Driver  string         `json:"driver"`
	Vendor  string         `json:"vendor"`
	Nodes   int            `json:"nodes"`
	Power   map[string]int `json:"power_state"`
	Failing int            `json:"failing"`
	GivenUp int            `json:"given_up"`
	Refused int            `json:"login_refused"`
	Suites  map[string]int `json:"cipher_suites"`
	Sample  *troubledNode  `json:"sample"`
}
