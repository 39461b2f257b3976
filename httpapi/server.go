// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"ferrite/httpapi/wire"
)

// Server is the API of one conductor.
type Server struct {
	cfg      Config
	router   *branch
	auth     *htpasswd // nil = noauth
	http     *fasthttp.Server
	metrics  fasthttp.RequestHandler // nil = none
	requests sync.Pool               // *request
	markers  markers
	gate     *gate
	limits   atomic.Pointer[Limits]
	working  atomic.Pointer[places]
	queue    atomic.Int64 // requests that ask for a place
	refused  tally        // requests, by reason
	maxPage  atomic.Int64
	began    time.Time
	out      lookout
	life     context.Context // ends with Shutdown
	end      context.CancelFunc

	mu        sync.Mutex // guards the fields below
	listeners []net.Listener
	stopped   bool

	leaving atomic.Bool // clients are asked to go
}

// New makes a server; it answers once Serve is called. An error names the setting that cannot be.
func New(cfg Config) (*Server, error) {
	if cfg.Commands == nil || cfg.Reader == nil || cfg.Hardware == nil || cfg.Members == nil {
		return nil, errors.New("httpapi: Commands, Reader, Hardware and Members are needed, one of them is nil")
	}
	s := &Server{cfg: cfg.withDefaults(), began: time.Now()}
	s.life, s.end = context.WithCancel(context.Background())
	table := routes()
	if cfg.Chassis != nil {
		table = append(table, chassisRoutes()...)
	}
	s.router = newRouter(table)
	s.refused = newTally(requestReasons)
	if err := s.cfg.Limits.check(); err != nil {
		return nil, err
	}
	s.gate = newGate(s.cfg, &s.limits)
	s.take(s.cfg.Limits, s.cfg.MaxLimit)
	s.requests.New = func() any { return &request{s: s} }
	if cfg.HtpasswdFile != "" {
		s.auth = newHtpasswd(cfg.HtpasswdFile, cfg.Logger)
		if err := s.auth.usable(); err != nil {
			return nil, err
		}
	}
	if cfg.Metrics != nil {
		s.metrics = fasthttpadaptor.NewFastHTTPHandler(cfg.Metrics)
	}
	s.http = &fasthttp.Server{
		Handler:               s.Handler,
		ErrorHandler:          s.unreadable,
		HeaderReceived:        s.received,
		ConnState:             s.gate.state,
		Concurrency:           1 << 20, // the gate counts
		ReadBufferSize:        maxHeader,
		StreamRequestBody:     true, // request.readBody reads it
		MaxRequestBodySize:    1,    // byte of a body that is read before the handler runs
		ReadTimeout:           s.cfg.Limits.HeaderTimeout,
		WriteTimeout:          s.cfg.Limits.WriteTimeout,
		IdleTimeout:           s.cfg.Limits.IdleTimeout,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		CloseOnShutdown:       true,
		SecureErrorLogMessage: true,
		Logger:                quiet{s},

		DisablePreParseMultipartForm: true, // bodies are JSON, whatever they say
	}
	return s, nil
}

// Serve answers on ln until Shutdown; then it returns nil. A Serve that comes after Shutdown answers nobody.
func (s *Server) Serve(ln net.Listener) error {
	ln = &entrance{Listener: ln, gate: s.gate}
	s.mu.Lock()
	s.listeners = append(s.listeners, ln)
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return ln.Close()
	}
	served := ln
	if s.cfg.TLS != nil {
		served = tls.NewListener(ln, s.cfg.TLS)
	}
	err := s.http.Serve(served)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	return err
}

// Leave asks every client, with its next answer, to use another connection: so that none sends a request just when Shutdown
// closes the one that it kept. Requests are answered as before.
func (s *Server) Leave() { s.leaving.Store(true) }

// Shutdown takes no new connections and waits for requests under way, at most until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	s.mu.Lock()
	s.stopped = true
	waiting := false
	for _, ln := range s.listeners {
		e, ok := ln.(*entrance)
		waiting = ok && lastCall(e.Listener) || waiting
	}
	s.mu.Unlock()
	if waiting {
		select {
		case <-time.After(lastCallTime):
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	var err error
	for _, ln := range s.listeners { // those that fasthttp does not know yet included
		err = errors.Join(err, ln.Close())
	}
	s.mu.Unlock()
	return errors.Join(err, s.http.ShutdownWithContext(ctx))
}

// quiet sends fasthttp's own log lines (broken connections) to the debug level.
type quiet struct{ s *Server }

func (q quiet) Printf(format string, args ...any) {
	q.s.cfg.Logger.Debug("http", "msg", fmt.Sprintf(format, args...))
}

// Handler answers one request.
func (s *Server) Handler(ctx *fasthttp.RequestCtx) {
	if s.leaving.Load() {
		defer ctx.SetConnectionClose()
	}
	if s.internal(ctx) {
		if ctx.Request.IsBodyStream() {
			ctx.SetConnectionClose() // nobody reads it
		}
		return
	}
	start := time.Now()
	r := s.requests.Get().(*request)
	if r.conn = ours(ctx.Conn()); r.conn != nil {
		s.gate.works(r.conn)
	}
	r.ctx, r.route, r.user, r.node, r.params = ctx, nil, "", "", r.params[:0]
	r.version = wire.Version{Minor: wire.MinMinor}
	r.id = "req-" + uuid.NewString()
	r.global = callersID(&ctx.Request.Header, r.id)
	r.base = s.base(ctx)
	r.view.Conductor, r.view.Confirmed, r.view.Health = s.cfg.Members.OwnerOf, s.cfg.Confirmed, s.cfg.SensorHealth
	r.parseQuery()
	defer s.finish(r, start)
	err := r.readBody()
	if err == nil {
		err = s.answer(r)
	}
	if err != nil {
		r.fail(err)
	}
}

// finish ends a request, one that panicked included.
func (s *Server) finish(r *request, start time.Time) {
	if p := recover(); p != nil {
		s.cfg.Logger.Error("panic in a request handler", "request_id", r.id, "method", r.method(), "path", r.path(), "panic", p, "stack", string(debug.Stack()))
		r.ctx.Response.ResetBody()
		r.fail(&plainError{status: http.StatusInternalServerError, text: "Internal error, request " + r.id + ": the conductor's log has the details."})
	}
	r.leave()
	r.holdAnswer()
	r.header("Openstack-Request-Id", r.id)
	r.header("x-openstack-request-id", r.id)
	s.audit(r)
	if s.cfg.Observe != nil {
		name := "none"
		if r.route != nil {
			name = r.route.name()
		}
		s.cfg.Observe(name, r.ctx.Response.StatusCode(), time.Since(start))
	}
	if r.ctx.Request.ResetBody(); cap(r.body) > freeBytes {
		r.body = nil
	}
	r.ctx, r.route, r.conn = nil, nil, nil
	s.requests.Put(r)
}

// answer is the way of a request: auth, version, route, read index, handler.
func (s *Server) answer(r *request) error {
	path := r.path()
	segs, ok := split(path)
	if !ok {
		return &routing{status: http.StatusBadRequest, text: "The path has a broken escape."}
	}
	if !r.readable(segs) {
		return &routing{status: http.StatusBadRequest, text: "The path or the query is not UTF-8."}
	}
	if r.ctx.IsOptions() {
		r.empty(http.StatusOK)
		return nil
	}
	root := len(segs) == 0
	v1 := len(segs) > 0 && segs[0] == "v1"
	if v1 {
		segs = segs[1:]
	}
	if s.auth != nil && !root && !(v1 && len(segs) == 0) {
		if stop := s.signIn(r); stop {
			return nil
		}
	}
	if err := s.negotiate(r, root || v1 && len(segs) == 0); err != nil {
		return err
	}
	if root {
		return s.rootDocument(r)
	}
	if len(segs) == 0 {
		return s.v1Document(r)
	}
	t, err := s.match(r, segs)
	if err != nil {
		return err
	}
	r.route = t
	if err := r.checkBody(); err != nil {
		return err
	}
	if !t.local {
		if err := s.fresh(r); err != nil {
			return err
		}
	}
	if err := r.enter(); err != nil {
		return err
	}
	return t.handle(r)
}

// negotiate reads the version headers and sets those of the reply.
func (s *Server) negotiate(r *request, document bool) error {
	h := &r.ctx.Request.Header
	v, err := wire.ParseVersion(string(h.Peek(wire.HeaderVersion)), string(h.Peek(wire.HeaderStandard)))
	r.header(wire.HeaderMinVersion, wire.VersionString(wire.MinMinor))
	r.header(wire.HeaderMaxVersion, wire.VersionString(wire.MaxMinor))
	if err != nil {
		if document {
			return &plainError{status: http.StatusNotAcceptable, text: err.Error()}
		}
		return &routing{status: http.StatusNotAcceptable, text: err.Error()}
	}
	r.version = v
	r.header(wire.HeaderVersion, wire.VersionString(v.Minor))
	r.view.Reset(v.Minor, r.base)
	return nil
}

// base is what links begin with.
func (s *Server) base(ctx *fasthttp.RequestCtx) string {
	if s.cfg.PublicEndpoint != "" {
		return strings.TrimSuffix(strings.TrimSuffix(s.cfg.PublicEndpoint, "/"), "/v1")
	}
	scheme := "http://"
	if s.cfg.TLS != nil || ctx.IsTLS() {
		scheme = "https://"
	}
	host := string(ctx.Host())
	if host == "" {
		host = ctx.LocalAddr().String()
	}
	return scheme + host
}
