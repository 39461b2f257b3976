// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"ferrite/httpapi"
	"ferrite/internal/redact"
	"ferrite/persistence"
)

// serve starts the HTTP front on a listener.
func (c *Conductor) serve(ctx context.Context, ln net.Listener) error {
	who, err := c.register(ctx)
	if err != nil {
		return err
	}
	file := ""
	if c.cfg.AuthStrategy == "http_basic" {
		file = c.cfg.HtpasswdFile
	}
	api, err := httpapi.New(httpapi.Config{
		Commands: c.hop, Reader: c.store, Members: who, Health: c, Metrics: c.metricsHandler(),
		Hardware: &hardware{fleet: c.fleet, policy: c.cfg.Policy, drivers: c.drivers, shared: c.endpoints},
		Chassis:  &chassis{store: c.store, encode: c.encoder(), log: c.log},
		Logger:   c.log, TLS: c.cfg.APITLS, PublicEndpoint: c.cfg.PublicEndpoint, HtpasswdFile: file, MaxLimit: c.cfg.MaxLimit, Limits: c.cfg.APILimits,
		Confirmed:     c.fleet.Sweep().ConfirmedAt,
		SensorHealth:  c.fleet.Sweep().Health,
		Notifications: kept{c.store, c.identity}, Backups: c.store, Secrets: c.keys, Cluster: overview{c},
	})
	if err != nil {
		return err
	}
	c.front.Store(api)
	c.apiURL = "http://" + ln.Addr().String()
	if c.cfg.APITLS != nil {
		c.apiURL = "https://" + ln.Addr().String()
	}
	go func() {
		if err := api.Serve(ln); err != nil && !c.stopping.Load() {
			c.failed <- fmt.Errorf("API: %w", err)
		}
	}()
	c.began("api", api.Shutdown)
	return nil
}

// register puts this conductor on the list of conductors. Where the disk has no room for that it serves readers meanwhile (R4).
func (c *Conductor) register(ctx context.Context) (*members, error) {
	now := time.Now().UTC()
	self := member{Hostname: c.cfg.Name, Group: c.cfg.Group, Drivers: c.cfg.Policy.HardwareTypes, CreatedAt: now, UpdatedAt: now}
	put := func(ctx context.Context) error {
		return again(ctx, func() error { return register(ctx, c.store, self) })
	}
	switch err := put(ctx); {
	case errors.Is(err, persistence.ErrDiskLow):
		c.log.Error("the disk is nearly full: this conductor answers readers and changes nothing until there is room", "dir", c.cfg.DataDir)
		later, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for err := err; err != nil && later.Err() == nil; err = put(later) {
				wait(later, time.Second)
			}
		}()
		c.began("registration", func(context.Context) error { stop(); <-done; return nil })
	case err != nil:
		return nil, fmt.Errorf("registering this conductor: %w", err)
	}
	return &members{self: self, store: c.store, place: c.placement}, nil
}

// profile serves pprof on a loopback port when asked to.
func (c *Conductor) profile() error {
	if c.cfg.PprofListen == "" {
		return nil
	}
	ln, err := net.Listen("tcp", c.cfg.PprofListen)
	if err != nil {
		return fmt.Errorf("pprof_listen %s: %w", c.cfg.PprofListen, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", commandLine)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("pprof ended", "error", err)
		}
	}()
	c.began("pprof", s.Shutdown)
	return nil
}

// commandLine is pprof's, without the passwords that settings on it may hold (L3).
func commandLine(w http.ResponseWriter, _ *http.Request) {
	r := redact.New()
	r.Learn(os.Args)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, r.Text(strings.Join(os.Args, "\x00")))
}
