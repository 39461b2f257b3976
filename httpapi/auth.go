// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/crypto/bcrypt"

	"ferrite/httpapi/wire"
)

// htpasswd knows the users of a file of "user:$2y$..." lines, bcrypt only. The file is read again when it changes.
type htpasswd struct {
	file   string
	log    *slog.Logger
	slots  chan struct{} // bounds bcrypt runs: each takes tens of milliseconds of a core
	secret [32]byte      // of the cache's keys
	guess  *backoff

	mu    sync.Mutex // guards the fields below
	stamp time.Time
	size  int64
	users map[string][]byte
	cost  int                   // highest of the users' hashes
	shut  bool                  // nobody can sign in, and that has been told
	good  map[[32]byte]struct{} // sign-ins that were right
}

// maxRemembered bounds the cache of good sign-ins.
const maxRemembered = 1024

// nobody is a hash that unknown users are compared with, so that they take as long as known ones: it has the cost of the
// file's hashes, and no password is known that has it.
func nobody(cost int) []byte {
	const saltAndHash = 53
	return fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", saltAndHash))
}

func newHtpasswd(file string, log *slog.Logger) *htpasswd {
	h := &htpasswd{file: file, log: log, guess: newBackoff(), slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))}
	_, _ = rand.Read(h.secret[:]) // never fails (crypto/rand)
	return h
}

// usable tells at the start what would let nobody in.
func (h *htpasswd) usable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := os.Stat(h.file); err != nil {
		return fmt.Errorf("htpasswd_file: %w", err)
	}
	h.loadLocked()
	if len(h.users) == 0 {
		return fmt.Errorf("htpasswd_file %s: found no user, wanted lines of user:bcrypt hash with a cost of 4 to 17, as \"htpasswd -B\" writes them", h.file)
	}
	return nil
}

// loadLocked reads the file again if it changed; a file that cannot be read lets nobody in. Changes are logged once each.
func (h *htpasswd) loadLocked() {
	info, err := os.Stat(h.file)
	if err != nil {
		h.close(err)
		return
	}
	if h.users != nil && info.ModTime().Equal(h.stamp) && info.Size() == h.size {
		return
	}
	data, err := os.ReadFile(h.file)
	if err != nil {
		h.close(err)
		return
	}
	began := h.users == nil && !h.shut // the first reading: who starts the conductor looks at it
	h.stamp, h.size, h.good, h.shut = info.ModTime(), info.Size(), map[[32]byte]struct{}{}, false
	h.users, h.cost = readUsers(data)
	switch {
	case began:
	case len(h.users) == 0:
		h.log.Warn("htpasswd_file has no user: nobody can sign in", "file", h.file)
	default:
		h.log.Info("users are read again", "file", h.file, "users", len(h.users))
	}
}

// close lets nobody in while the file cannot be read.
func (h *htpasswd) close(err error) {
	h.users, h.good, h.stamp = nil, nil, time.Time{}
	if !h.shut {
		h.shut = true
		h.log.Warn("htpasswd_file cannot be read: nobody can sign in", "error", err)
	}
}

// maxCost is what "htpasswd -B" offers at most: five seconds a sign-in. Beyond it one password would take a core for hours.
const maxCost = 17

// readUsers takes the users out of a file's lines, and the highest cost of their hashes. Other lines are passed over: they
// let nobody in.
func readUsers(data []byte) (users map[string][]byte, cost int) {
	users, cost = map[string][]byte{}, bcrypt.MinCost
	for line := range bytes.Lines(data) {
		user, hash, ok := strings.Cut(string(bytes.TrimSpace(line)), ":")
		if !ok || user == "" || !strings.HasPrefix(hash, "$2y$") && !strings.HasPrefix(hash, "$2a$") && !strings.HasPrefix(hash, "$2b$") {
			continue
		}
		if c, err := bcrypt.Cost([]byte(hash)); err == nil && c <= maxCost {
			users[user], cost = []byte(hash), max(cost, c)
		}
	}
	return users, cost
}

// from is check for a request of an address. wait > 0: too many wrong passwords came from there, and this one was not
// looked at. Who was right before is not locked out by them. Requests that come at once are looked at one after another, so
// that each knows what became of those before: many connections guess no faster than one, and keep nobody else waiting.
func (h *htpasswd) from(a netip.Addr, user, password string) (ok bool, wait time.Duration) {
	if _, _, good := h.remembered(user, password); good {
		return true, 0
	}
	if wait := h.guess.wait(a); wait > 0 {
		return false, wait
	}
	defer h.guess.turn(a)()
	if _, _, good := h.remembered(user, password); good {
		return true, 0
	}
	if wait := h.guess.wait(a); wait > 0 {
		return false, wait
	}
	if !h.check(user, password) {
		h.guess.failed(a)
		return false, 0
	}
	h.guess.succeeded(a)
	return true, 0
}

// remembered looks a sign-in up among the good ones; an unknown user has nobody's hash.
func (h *htpasswd) remembered(user, password string) (hash []byte, known, good bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loadLocked()
	if hash, known = h.users[user]; !known {
		return nobody(h.cost), false, false
	}
	_, good = h.good[h.key(user, password, hash)]
	return hash, known, good
}

// check reports whether the password is the user's. The comparison takes as long for unknown users as for known ones.
func (h *htpasswd) check(user, password string) bool {
	hash, known, good := h.remembered(user, password)
	if good {
		return true
	}
	key := h.key(user, password, hash)
	h.slots <- struct{}{}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-h.slots
	if err != nil || !known {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.good) >= maxRemembered {
		clear(h.good)
	}
	if h.good != nil {
		h.good[key] = struct{}{}
	}
	return true
}

// key stands for one user, password and hash; without the process's secret it tells nothing.
func (h *htpasswd) key(user, password string, hash []byte) (out [32]byte) {
	m := hmac.New(sha256.New, h.secret[:])
	for _, part := range []string{user, password, string(hash)} {
		m.Write([]byte(part))
		m.Write([]byte{0})
	}
	m.Sum(out[:0])
	return out
}

// credentials reads an Authorization header.
func credentials(header string) (user, password string, err error) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", "", fmt.Errorf("Unsupported authorization type: %s", scheme) // for clients, as Ironic words it
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	user, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return "", "", errors.New("Could not decode authorization header") // for clients, as Ironic words it
	}
	return user, password, nil
}

// remote is the address that a request comes from.
func remote(ctx *fasthttp.RequestCtx) netip.Addr {
	a, _ := netip.AddrFromSlice(ctx.RemoteIP())
	return a
}

// signIn checks the credentials of a request and answers it when they are missing or wrong.
func (s *Server) signIn(r *request) (stop bool) {
	header := string(r.ctx.Request.Header.Peek("Authorization"))
	if header == "" {
		return s.unauthorized(r, http.StatusUnauthorized, "Authorization required")
	}
	user, password, err := credentials(header)
	if err != nil {
		return s.unauthorized(r, http.StatusBadRequest, err.Error())
	}
	ok, wait := s.auth.from(remote(r.ctx), user, password)
	if wait > 0 {
		s.refused.add(refusedPassword)
		r.askBack(int(wait.Seconds()) + 1)
		return s.unauthorized(r, http.StatusTooManyRequests, "Too many wrong passwords from this address; wait as long as Retry-After says")
	}
	if !ok {
		return s.unauthorized(r, http.StatusUnauthorized, "Incorrect username or password")
	}
	r.user = user
	return false
}

// unauthorized answers in form C.
func (s *Server) unauthorized(r *request, status int, text string) bool {
	if status == http.StatusUnauthorized {
		r.header("WWW-Authenticate", `Basic realm="Baremetal API"`)
	}
	r.json(status, wire.AppendAuth(r.buffer(), status, text))
	return true
}
