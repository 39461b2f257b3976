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
)

// serve starts the HTTP front on a listener.
func (c *Conductor) serve(ctx context.Context, ln net.Listener) error {
	now := time.Now().UTC()
	var who *members
	if err := again(ctx, func() (err error) {
		who, err = register(ctx, c.store, c.placement, member{
			Hostname: c.cfg.Name, Group: c.cfg.Group, Drivers: c.cfg.Policy.HardwareTypes, CreatedAt: now, UpdatedAt: now,
		})
		return err
	}); err != nil {
		return fmt.Errorf("registering this conductor: %w", err)
	}
	file := ""
	if c.cfg.AuthStrategy == "http_basic" {
		file = c.cfg.HtpasswdFile
	}
	api, err := httpapi.New(httpapi.Config{
		Commands: c.commands(), Reader: c.store, Members: who, Health: c, Metrics: c.metricsHandler(),
		Hardware: &hardware{fleet: c.fleet, policy: c.cfg.Policy, drivers: c.drivers, shared: c.endpoints},
		Chassis:  &chassis{store: c.store, encode: c.encoder(), log: c.log},
		Logger:   c.log, TLS: c.cfg.APITLS, PublicEndpoint: c.cfg.PublicEndpoint, HtpasswdFile: file, MaxLimit: c.cfg.MaxLimit, Limits: c.cfg.APILimits,
		Confirmed:     c.fleet.Sweep().ConfirmedAt,
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
