// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"ferrite/internal/sdnotify"
)

// tellSystemd sends a state; systemd that does not listen stops nothing.
func tellSystemd(log *slog.Logger, lines ...string) {
	if err := sdnotify.Send(lines...); err != nil {
		log.Warn("systemd was not told", "error", err)
	}
}

// feedWatchdog tells systemd every so often that the conductor works, for as long as alive says so; it ends with ctx. A
// conductor that is not alive is not fed, and systemd restarts it.
func feedWatchdog(ctx context.Context, log *slog.Logger, every time.Duration, alive func(context.Context) error) {
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, every)
		err := alive(try)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("the watchdog is not fed, because the conductor does not work", "error", err)
		default:
			tellSystemd(log, sdnotify.Watchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
