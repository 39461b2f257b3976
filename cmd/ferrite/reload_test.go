// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a new certificate of a name and its key.
func writePair(t *testing.T, name, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	writePair(t, "one", cert, key)
	c, err := newCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c.every, c.log = 0, slog.New(slog.DiscardHandler)
	name := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	if got := name(); got != "one" {
		t.Fatalf("got %s", got)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "one" {
		t.Errorf("a file that is no good replaced the certificate: %s", got)
	}
	writePair(t, "second", cert, key)
	if got := name(); got != "second" {
		t.Errorf("got %s, wanted the new certificate", got)
	}
	if err := c.use(filepath.Join(dir, "none"), key); err == nil || name() != "second" {
		t.Error("a missing file was taken")
	}
}

// TestWatchdogIsFedOnlyWhileAlive: a conductor that does not work is not fed.
func TestWatchdogIsFedOnlyWhileAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	var log bytes.Buffer
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	feedWatchdog(ctx, slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond, func(context.Context) error {
		if asked++; asked > 3 {
			if asked == 6 {
				cancel()
			}
			return errors.New("the log takes no write")
		}
		return nil
	})
	end, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = end.Close() }()
	if _, err := end.Write([]byte("the end")); err != nil { // behind all that was fed
		t.Fatal(err)
	}
	fed := 0
	_ = l.SetReadDeadline(time.Now().Add(time.Minute))
	for b := make([]byte, 64); ; fed++ {
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == "the end" {
			break
		}
	}
	if fed != 3 || !bytes.Contains(log.Bytes(), []byte("takes no write")) {
		t.Errorf("fed %d times of 3 alive; log %s", fed, &log)
	}
}
