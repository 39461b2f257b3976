// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/config"
)

// reloader takes the settings again at SIGHUP.
type reloader struct {
	cmd     *cobra.Command
	log     *slog.Logger
	level   *slog.LevelVar
	certs   *certificate // nil = no TLS
	started *config.Config
	current *config.Config
	take    func(conductor.Config) error
	limit   func(time.Duration) // of the end, as graceful_shutdown_timeout says now; nil = nobody asks
}

// reload reads all sources again. Nothing changes unless everything is good.
func (r *reloader) reload() {
	const kept = "reload: the old configuration stays in force"
	next, err := loadSettings(r.cmd)
	if err != nil {
		r.log.Error(kept, "error", oneLine(err))
		return
	}
	cfg, err := conductorConfig(next) // reads and checks the files too
	if err != nil {
		r.log.Error(kept, "error", oneLine(err))
		return
	}
	if err := r.take(cfg); err != nil {
		r.log.Error(kept, "error", oneLine(err))
		return
	}
	if r.certs != nil && next.String("api_tls_cert") != "" {
		if err := r.certs.use(next.String("api_tls_cert"), next.String("api_tls_key")); err != nil {
			r.log.Error("reload: the old certificate stays in force", "error", oneLine(err))
		}
	}
	setLevel(r.level, next)
	if r.limit != nil {
		r.limit(cfg.DrainTimeout)
	}
	live, _ := config.Changed(r.current, next)
	_, restart := config.Changed(r.started, next)
	r.current = next
	if len(restart) > 0 {
		r.log.Warn("reload: some settings have changed that a running conductor cannot take; restart it", "settings", strings.Join(restart, ", "))
	}
	r.log.Info("reloaded", "changed", strings.Join(live, ", "))
}

// setLevel sets log_level.
func setLevel(v *slog.LevelVar, s *config.Config) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.String("log_level"))) // checked by package config
	v.Set(level)
}
