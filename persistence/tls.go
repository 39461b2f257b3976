// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"time"
)

// CheckTLS holds a conductor's own certificate against its own authority, for both directions, before another one has to refuse it.
// host is where the others reach it, "" = not known.
func CheckTLS(c *tls.Config, host string) error {
	if c == nil || len(c.Certificates) == 0 || len(c.Certificates[0].Certificate) == 0 {
		return nil
	}
	var chain []*x509.Certificate
	for _, der := range c.Certificates[0].Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("the certificate of this conductor: %w", err)
		}
		chain = append(chain, x)
	}
	between := x509.NewCertPool()
	for _, x := range chain[1:] {
		between.AddCert(x)
	}
	for _, row := range []struct {
		roots *x509.CertPool
		use   x509.ExtKeyUsage
	}{{c.RootCAs, x509.ExtKeyUsageServerAuth}, {c.ClientCAs, x509.ExtKeyUsageClientAuth}} {
		if row.roots == nil {
			continue
		}
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: row.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{row.use}}); err != nil {
			return fmt.Errorf("the certificate of this conductor %s", untrusted(err))
		}
	}
	if c.ServerName != "" {
		host = c.ServerName
	}
	if host != "" {
		if err := chain[0].VerifyHostname(host); err != nil {
			return fmt.Errorf("the certificate of this conductor %s", untrusted(err))
		}
	}
	return nil
}

// trusted is CheckTLS for the address that the others have.
func (n *Net) trusted(name string) error {
	if n == nil || n.TLS == nil {
		return nil
	}
	host := ""
	if at, ok := n.Address(name); ok {
		host, _, _ = net.SplitHostPort(at)
	}
	if err := CheckTLS(n.TLS, host); err != nil {
		return errors.Join(err, n.Listener.Close())
	}
	return nil
}

// untrusted words what is wrong with a certificate, and what to do.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return "is not signed by --tls-ca: give all conductors certificates of one authority, and its certificate as --tls-ca"
	case errors.As(err, &name):
		return fmt.Sprintf("is not for %s: make one with that address as subjectAltName (%v)", name.Host, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("is valid from %s to %s, it is %s: make a new one, or set the clock",
			invalid.Cert.NotBefore.UTC().Format(time.DateTime), invalid.Cert.NotAfter.UTC().Format(time.DateTime), time.Now().UTC().Format(time.DateTime))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "may not be used for both directions: make one with extendedKeyUsage=serverAuth,clientAuth"
	}
	return "is no good: " + err.Error()
}

const (
	inClear = "speaks in clear, this conductor speaks TLS: give both --tls-ca, --tls-cert and --tls-key, or neither"
	inTLS   = "speaks TLS, this conductor speaks in clear: give both --tls-ca, --tls-cert and --tls-key, or neither"
)

// unsafe is why a connection could not be made safe.
type unsafe struct {
	text string
	err  error
}

func (u *unsafe) Error() string { return u.text }
func (u *unsafe) Unwrap() error { return u.err }

// named finds the setting behind an error of a handshake; err itself when it is none.
func named(err error) error {
	var cert *tls.CertificateVerificationError
	var clear tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &cert):
		return &unsafe{"its certificate " + untrusted(cert.Err), err}
	case errors.As(err, &clear):
		return &unsafe{"it " + inClear, err}
	case errors.As(err, &alert):
		return &unsafe{fmt.Sprintf("it does not take the certificate of this conductor (%v): look at its log, and at --tls-ca there and --tls-cert here", alert), err}
	}
	return err
}

// tlsRecord is the first byte of a connection under TLS.
const tlsRecord = 0x16

// secure makes a connection that was taken one under TLS. One in clear is told so in clear.
func (p *port) secure(c net.Conn) (net.Conn, bool) {
	t := p.s.cfg.Net.TLS
	if t == nil {
		return c, true
	}
	over := tls.Server(c, t)
	err := over.Handshake()
	if err == nil {
		return over, true
	}
	var trouble *unsafe
	if errors.As(named(err), &trouble) || err.Error() == "tls: client didn't provide a certificate" {
		text := err.Error()
		if trouble != nil {
			text = trouble.text
		}
		p.complain(c.RemoteAddr().String(), text)
	}
	var clear tls.RecordHeaderError
	if errors.As(err, &clear) && clear.Conn != nil {
		told := hello{Version: portVersion, Name: p.s.cfg.Name, Refused: p.s.cfg.Name + " " + inTLS}
		_ = writeJSON(c, told)
	}
	farewell(c)
	return nil, false
}

// complain tells of one that could not be spoken with, by its address.
func (p *port) complain(at, text string) {
	host, _, _ := net.SplitHostPort(at)
	if p.s.said.anew(host + text) {
		p.s.log.Warn("a connection to the log's port is refused", "from", host, "reason", text)
	}
}

// unsecured answers one that speaks TLS to a port in clear: with what its side takes for no TLS.
func (p *port) unsecured(c net.Conn) {
	p.complain(c.RemoteAddr().String(), "it "+inTLS)
	_, _ = io.WriteString(c, "ferrite: this port speaks in clear\n")
	farewell(c)
}

// farewell closes a connection so that what was written arrives: a close with unread bytes would take it back.
func farewell(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c, maxHello)
	_ = c.Close()
}

var portNumbers = regexp.MustCompile(`:\d+\b`)

// withoutPorts is a text that does not change with the port of a connection.
func withoutPorts(text string) string { return portNumbers.ReplaceAllString(text, "") }
