// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"ferrite/node"
)

// Backups writes a consistent copy of all that is stored, and tells its revision.
type Backups interface {
	Backup(w io.Writer) (node.Rev, error)
}

// writeBackup is GET /v1/x/backup (P6): the backup as a stream. Its last bytes are a checksum: who gets one that ends
// early knows it by that.
func writeBackup(r *request) error {
	if err := r.allow(); err != nil {
		return err
	}
	source := r.s.cfg.Backups
	if source == nil {
		return &routing{status: http.StatusNotFound}
	}
	if err := r.operator(); err != nil {
		return err
	}
	s, conn, id, user := r.s, r.ctx.Conn(), r.id, r.user
	remote := r.ctx.RemoteAddr().String()
	s.cfg.Audit.Info("audit", "user", orAnonymous(user), "remote", remote, "method", r.method(), "path", r.path(), "request_id", id)
	r.ctx.Response.SetStatusCode(http.StatusOK)
	r.ctx.Response.Header.SetContentType("application/octet-stream")
	r.ctx.SetConnectionClose() // so that an end that came too early is one for every client
	r.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		rev, err := source.Backup(&patient{s: s, w: w, conn: conn})
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			s.cfg.Logger.Warn("a backup did not come to its end", "request_id", id, "remote", remote, "error", err)
			return
		}
		s.cfg.Logger.Info("backup written", "revision", rev, "request_id", id, "remote", remote)
	})
	return nil
}

// patient gives the reader of a long answer time anew with every part that it takes, and none when the server ends.
type patient struct {
	s    *Server
	w    io.Writer
	conn net.Conn
}

func (p *patient) Write(b []byte) (int, error) {
	p.s.mu.Lock()
	stopped := p.s.stopped
	p.s.mu.Unlock()
	if stopped {
		return 0, errors.New("the conductor is shutting down")
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.s.limits.Load().WriteTimeout)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// operator refuses what only those may ask for who run the service: who has signed in, or, where nobody has to, who is
// on the same machine.
func (r *request) operator() error {
	if r.s.auth != nil {
		return nil
	}
	switch a := r.ctx.RemoteAddr().(type) {
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return nil
		}
	case *net.UnixAddr:
		return nil
	}
	return &plainError{status: http.StatusForbidden, text: "With auth_strategy noauth this is answered to requests from the conductor's own machine alone: ask there (127.0.0.1), or set auth_strategy http_basic."}
}

func orAnonymous(user string) string {
	if user == "" {
		return "anonymous"
	}
	return user
}
