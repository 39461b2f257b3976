// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ferrite/persistence"
)

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, _, a.key = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) issue(c *x509.Certificate) (*x509.Certificate, []byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "x"}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, der, key
}

// config is a conductor's that trusts this authority, with a certificate by another one, or by it.
func (a *authority) config(by *authority, c *x509.Certificate) *tls.Config {
	_, der, key := by.issue(c)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

var bothWays = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

func good() *x509.Certificate {
	return &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: bothWays}
}

// What others would refuse a certificate for is told by its own conductor, at its start.
func TestACertificateThatCannotBeIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	for want, c := range map[string]*tls.Config{
		"is not signed by --tls-ca":                            ca.config(other, good()),
		"make one with extendedKeyUsage=serverAuth,clientAuth": ca.config(ca, &x509.Certificate{IPAddresses: here, ExtKeyUsage: bothWays[:1]}),
		"make a new one, or set the clock":                     ca.config(ca, &x509.Certificate{IPAddresses: here, ExtKeyUsage: bothWays, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0)}),
		"is not for 127.0.0.1":                                 ca.config(ca, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 9)}, ExtKeyUsage: bothWays}),
	} {
		cfg := newCrowd(t).config("c1", true)
		cfg.Net.TLS = c
		s, err := persistence.Open(cfg)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, the start says %v", want, err)
		}
	}
	if err := persistence.CheckTLS(ca.config(ca, good()), "127.0.0.1"); err != nil {
		t.Errorf("a good certificate: %v", err)
	}
}

// One of two speaks TLS: each says what the other one does, and what to do.
func TestTLSOnOneSideIsNamedOnBoth(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, row := range []struct {
		what          string
		leader, joins bool
	}{{"the leader", true, false}, {"the newcomer", false, true}} {
		c := newCrowd(t)
		first, second := c.config("c1", true), c.config("c2", false)
		stop := make(chan struct{})
		second.Net.Stop = stop
		for cfg, yes := range map[*persistence.Config]bool{&first: row.leader, &second: row.joins} {
			if yes {
				cfg.Net.TLS = ca.config(ca, good())
			}
		}
		c1, err := persistence.Open(first)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { _, err := persistence.Open(second); ended <- err }()
		says := func(who, what string) bool {
			for line := range strings.Lines(c.logs.String()) {
				if strings.Contains(line, " me="+who+" ") && strings.Contains(line, what) && strings.Contains(line, "--tls-ca") {
					return true
				}
			}
			return false
		}
		c.eventually(row.what+" speaks TLS, and both say so", func() bool {
			if row.leader {
				return says("c1", "speaks in clear, this conductor speaks TLS") && says("c2", "speaks TLS, this conductor speaks in clear")
			}
			return says("c1", "c2 speaks TLS, this conductor speaks in clear") && says("c2", "speaks in clear, this conductor speaks TLS")
		})
		close(stop)
		if err := <-ended; err == nil {
			t.Error("it came in")
		}
		_ = c1.Close()
	}
}

// What fails again and again with another port each time is told of once.
func TestTheSameTroubleIsToldOfOnce(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var calls atomic.Int32
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1)) // the rest is unread: a reset
			_ = conn.Close()
			calls.Add(1)
		}
	}()
	c := newCrowd(t)
	c.join("c1", true)
	c.mu.Lock()
	c.at["c2"], c.live["c2"] = ln.Addr().String(), true
	c.mu.Unlock()
	c.eventually("c2 is asked again and again", func() bool { return calls.Load() >= 8 })
	if n := strings.Count(c.logs.String(), "cannot be taken into the log"); n < 1 || n > 4 { // a reset or a broken pipe, of a read or a write; an end
		t.Errorf("%d lines, wanted one for each sort of end\n%s", n, c.logs)
	}
	c.mu.Lock()
	delete(c.live, "c2")
	c.mu.Unlock()
}
