// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the API's, read again when its files change. A pair that is no good (half written, the key of another)
// leaves the old one in force.
type certificate struct {
	every time.Duration // how often the files are looked at, at most

	mu        sync.Mutex // guards the fields below
	log       *slog.Logger
	cert, key string
	stamp     string // of the files as they were read last, good or bad
	looked    time.Time
	pair      *tls.Certificate
}

func newCertificate(cert, key string) (*certificate, error) {
	c := &certificate{every: time.Second, log: slog.Default()}
	return c, c.use(cert, key)
}

// use reads a pair now, and takes it when it is good.
func (c *certificate) use(cert, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := stampOf(cert, key)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("api_tls_cert %s and api_tls_key %s: wanted a certificate and its key in PEM: %w", cert, key, err)
	}
	c.cert, c.key, c.pair, c.stamp, c.looked = cert, key, &pair, stamp, time.Now()
	return nil
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < c.every {
		return c.pair, nil
	}
	c.looked = time.Now()
	stamp := stampOf(c.cert, c.key)
	if stamp == c.stamp {
		return c.pair, nil
	}
	c.stamp = stamp
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		c.log.Error("the certificate's files have changed and are no good: the old one stays in force", "cert", c.cert, "key", c.key, "error", err)
		return c.pair, nil
	}
	c.pair = &pair
	c.log.Info("the certificate was read again", "cert", c.cert)
	return c.pair, nil
}

// stampOf changes when a file does.
func stampOf(files ...string) string {
	s := ""
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			s += fmt.Sprintf("%d/%d ", info.ModTime().UnixNano(), info.Size())
		} else {
			s += "none "
		}
	}
	return s
}
