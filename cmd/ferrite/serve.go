// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/sdnotify"
)

func newServe() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run a conductor", Args: noArgs,
		Long: `Run a conductor until SIGTERM or SIGINT.

Every setting is a flag, an environment variable (FERRITE_ and the flag's name in capitals with underscores) and a key
of the YAML file that --config names; a flag wins over the environment, that over the file. Ironic's options keep their
names; a group other than conductor is a prefix: --ipmi-min-command-interval, FERRITE_IPMI_MIN_COMMAND_INTERVAL,
ipmi.min_command_interval. Durations are like 2s, 500ms or plain seconds. Settings that make no sense here are accepted
and explained ("ferrite config show --effective").

At SIGTERM /readyz turns 503 at once, requests are served for another second, running operations reach a safe point,
BMC sessions are closed, and the exit code is 0. A second signal ends the process at once.

At SIGHUP the settings are read again: log level, notifications, certificates, the power sync, the rules of operations,
the limits of the API and the keys in --cluster-key-file change at once, other changes are named in a warning, and a bad file changes nothing. Certificates and the htpasswd file are read again whenever they change.`,
		Example: "  ferrite serve --data-dir /var/lib/ferrite\n" +
			"  ferrite serve --config /etc/ferrite.yaml --sync-power-state-interval 30s\n" +
			"  ferrite serve --api-listen 0.0.0.0:6385 --auth-strategy http_basic --htpasswd-file /etc/ferrite.htpasswd\n" +
			"  FERRITE_NOTIFICATION_LEVEL=info ferrite serve --nats-url nats://nats.example:4222",
		RunE: func(c *cobra.Command, _ []string) error { return serve(c) },
	}
	addSettings(c)
	return c
}

func serve(c *cobra.Command) error {
	settings, err := loadSettings(c)
	if err != nil {
		return err
	}
	cfg, err := conductorConfig(settings)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	log := logSettings(settings, os.Stderr, level)
	slog.SetDefault(log) // for libraries that log without being asked
	cfg.Logger = log
	for _, note := range settings.Notes() {
		log.Warn("a setting is accepted, but " + note)
	}
	ctx := c.Context()
	hangups := make(chan struct{}, 1) // one that waits reads the newest file
	hangup := func() {
		select {
		case hangups <- struct{}{}:
		default:
		}
	}
	onHangup.Store(&hangup)
	defer onHangup.Store(nil)
	re := &reloader{cmd: c, log: log, level: level, started: settings, current: settings}
	if cfg.APITLS != nil {
		if re.certs, err = newCertificate(settings.String("api_tls_cert"), settings.String("api_tls_key")); err != nil {
			return usageError{err}
		}
		re.certs.log = log
		cfg.APITLS.GetCertificate = re.certs.get
	}
	run, err := conductor.Start(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it was up
		}
		return err
	}
	log.Info("ready", "api", run.APIURL(), "nats", withoutPassword(run.NATSURL()), "data_dir", cfg.DataDir, "name", cfg.Name, "version", version, "pid", os.Getpid())
	re.take, re.limit = run.Reload, func(d time.Duration) { cfg.DrainTimeout = d }
	tellSystemd(log, sdnotify.Ready, "STATUS=API at "+run.APIURL())
	feed, hungry := context.WithCancel(context.Background())
	defer hungry()
	go feedWatchdog(feed, log, sdnotify.WatchdogInterval(), run.Alive)
	var failed error
	for running := true; running; {
		select {
		case <-hangups:
			re.reload()
			continue
		case <-ctx.Done():
			log.Info("ending: requests are still served for a moment, then operations reach a safe point", "limit", limitText(cfg.DrainTimeout))
		case failed = <-run.Failed():
			log.Error("ending, because a part has failed", "error", failed)
		}
		running = false
	}
	hungry() // from here systemd's TimeoutStopSec is the limit
	tellSystemd(log, sdnotify.Stopping)
	if err := shutdown(run, cfg); err != nil {
		return errors.Join(failed, err)
	}
	if failed == nil {
		log.Info("ended")
	}
	return failed
}

// shutdown ends a conductor within graceful_shutdown_timeout; 0 is no limit, as in Ironic.
func shutdown(run *conductor.Conductor, cfg conductor.Config) error {
	ctx := context.Background()
	if cfg.DrainTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.ServeOn+cfg.DrainTimeout)
		defer cancel()
	}
	if err := run.Shutdown(ctx); err != nil {
		return fmt.Errorf("the end was not in order: %w", err)
	}
	return nil
}

func limitText(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}
