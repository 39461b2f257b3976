// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// authority is a CA for the ports between conductors.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.Subject = big.NewInt(a.n), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// flags are those of a conductor with a certificate of this authority for an address.
func (a *authority) flags(name, ip string) []string {
	a.t.Helper()
	a.issue(name, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	at := func(file string) string { return filepath.Join(a.dir, file) }
	return []string{"--tls-ca", at("ca.pem"), "--tls-cert", at(name + ".pem"), "--tls-key", at(name + ".key")}
}

// Conductors with certificates of one CA form a cluster: log, requests and notifications go between them under TLS. One with
// a certificate of another CA does not get in, although it has the cluster key.
func TestConductorsSpeakTLS(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "cluster.key")
	if out := run(t, "cluster", "key"); out.exit() != 0 || os.WriteFile(key, []byte(out.out.String()), 0o600) != nil {
		t.Fatal("no cluster key")
	}
	ca, other := newAuthority(t), newAuthority(t)
	ip := func(n int) string { return fmt.Sprintf("127.0.61.%d", n) }
	gossip := freePort(t, "tcp")
	begin := func(n, expect int, by *authority) *site {
		s := &site{t: t, dir: t.TempDir(), api: fmt.Sprintf("http://127.0.0.1:%d", freePort(t, "tcp")), nats: fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))}
		name := fmt.Sprintf("m%d", n)
		s.args = append([]string{
			"--name", name, "--cluster-key-file", key, "--gossip-listen", fmt.Sprintf("%s:%d", ip(n), gossip), "--raft-listen", ip(n) + ":0", "--remote-listen", ip(n) + ":0",
			"--gossip-profile", "mid", "--join", fmt.Sprintf("%s:%d", ip(1), gossip), "--bootstrap-expect", fmt.Sprint(expect),
		}, by.flags(name, ip(n))...)
		return s
	}
	m1 := begin(1, 1, ca)
	m1.start()
	m2 := begin(2, 1, ca)
	m2.start()
	c, err := nats.Connect("nats://" + m2.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sub, err := c.SubscribeSync("ironic_versioned_notifications.>")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i := 0; len(names) < 2; i++ { // until both own one
		if i == 50 {
			t.Fatalf("of 50 nodes all are %v's", names)
		}
		name := fmt.Sprintf("n%d", i)
		if code, doc := m1.call("POST", "/v1/nodes", map[string]any{"name": name, "driver": "fake-hardware"}); code != 201 {
			t.Fatalf("%d %v", code, doc)
		}
		if code, doc := m2.call("PUT", "/v1/nodes/"+name+"/states/power", map[string]any{"target": "power on"}); code != 202 {
			t.Fatalf("%d %v", code, doc)
		}
		names[fmt.Sprint(m2.node(name)["conductor"])] = true
	}
	until(t, "the notification of a node that the first has made, at the second", func() bool {
		m, err := sub.NextMsg(100 * time.Millisecond)
		if err != nil { // interest travels: once more
			m1.call("PUT", "/v1/nodes/n0/maintenance", nil)
			m1.call("DELETE", "/v1/nodes/n0/maintenance", nil)
		}
		return err == nil && strings.Contains(string(m.Data), "event_type")
	})

	stranger := begin(3, 1, other)
	stranger.p = run(t, append([]string{"serve", "--data-dir", stranger.dir, "--api-listen", strings.TrimPrefix(stranger.api, "http://"), "--nats-listen", stranger.nats}, stranger.args...)...)
	until(t, "the first to refuse the stranger", func() bool {
		return strings.Contains(m1.p.out.String(), "m3") && strings.Contains(m1.p.out.String(), "cannot be taken into the log")
	})
	if _, doc := m2.call("GET", "/v1/conductors", nil); strings.Contains(fmt.Sprint(doc), "m3") {
		t.Errorf("the stranger is a conductor: %v", doc)
	}
	for i := range 10 { // nothing is sent to it either
		if code, doc := m2.call("POST", "/v1/nodes", map[string]any{"name": fmt.Sprintf("after%d", i), "driver": "fake-hardware"}); code != 201 {
			t.Errorf("after the stranger came: %d %v", code, doc)
		}
	}
	stranger.p.kill()
}
