// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package sdnotify tells systemd how a service of Type=notify does.
//
// # Usage
//
//	_ = sdnotify.Send("READY=1")
//	every := sdnotify.WatchdogInterval() // 0 = no watchdog; feed it at least that often
//
// # Concurrency
//
// All functions may be called at once from anywhere.
//
// # Failure
//
// Without NOTIFY_SOCKET nothing is sent, and that is no error: the process was not started by systemd.
package sdnotify
