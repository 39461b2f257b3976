// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger hands the server's lines to slog. What the server calls fatal is remembered for Start and never ends the
// process; its notices are chatter for us and become debug lines.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex // guards the field below
	cause error
}

// Noticef writes a debug line.
func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("nats server", "says", line(format, v))
}

// Warnf writes a warning.
func (l *logger) Warnf(format string, v ...any) { l.log.Warn("nats server", "says", line(format, v)) }

// Errorf writes an error. That the server of a conductor which is gone does not answer is told of the conductor already.
func (l *logger) Errorf(format string, v ...any) {
	if text := line(format, v); strings.HasPrefix(text, "Error trying to connect to route") {
		l.log.Debug("nats server", "says", text)
	} else {
		l.log.Error("nats server", "says", text)
	}
}

// Debugf writes nothing: the server is started without its debug lines.
func (l *logger) Debugf(string, ...any) {}

// Tracef writes nothing: it would show payloads.
func (l *logger) Tracef(string, ...any) {}

// Fatalf writes an error and keeps the first one.
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = errors.New(line(format, v))
	}
	l.log.Error("nats server", "says", line(format, v))
}

func (l *logger) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func line(format string, v []any) string { return fmt.Sprintf(format, v...) }
