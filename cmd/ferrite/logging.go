// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// newLogger writes JSON lines, or readable ones when w is a terminal.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	if _, colour, ok := terminal(w); ok {
		return slog.New(newConsole(w, level, palette(colour)))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// console is a slog.Handler for people: "15:04:05 WARN message key=value".
type console struct {
	mu     *sync.Mutex // guards w
	w      io.Writer
	level  slog.Leveler
	colour palette
	prefix string // of the open group, with its dot
	attrs  string // of With, ready to print
}

func newConsole(w io.Writer, level slog.Leveler, colour palette) *console {
	return &console{mu: &sync.Mutex{}, w: w, level: level, colour: colour}
}

// Enabled reports whether a level is shown.
func (c *console) Enabled(_ context.Context, l slog.Level) bool { return l >= c.level.Level() }

// levelColours are by name; others have none.
var levelColours = map[string]string{"DEBUG": dim, "INFO": green, "WARN": yellow, "ERROR": red}

// Handle writes one line.
func (c *console) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	b.WriteString(c.colour.paint(dim, r.Time.Format("15:04:05")) + " ")
	level := r.Level.String()
	b.WriteString(c.colour.paint(levelColours[level], level) + strings.Repeat(" ", max(0, 5-len(level))) + " ")
	b.WriteString(plain(r.Message) + c.attrs)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(c.pair(c.prefix, a)); return true })
	b.WriteByte('\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.w.Write(b.Bytes())
	return err
}

// pair is " key=value", quoted when it must be; a group is flattened.
func (c *console) pair(prefix string, a slog.Attr) string {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		s := ""
		for _, g := range v.Group() {
			s += c.pair(prefix, g)
		}
		return s
	}
	if a.Equal(slog.Attr{}) {
		return ""
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " =\"\t\r\n\x1b") || plain(text) != text {
		text = strconv.Quote(text)
	}
	return " " + c.colour.paint(dim, prefix+a.Key+"=") + text
}

// WithAttrs keeps attributes for all further lines.
func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	d := *c
	for _, a := range attrs {
		d.attrs += c.pair(c.prefix, a)
	}
	return &d
}

// WithGroup puts further keys under a name.
func (c *console) WithGroup(name string) slog.Handler {
	if name == "" {
		return c
	}
	d := *c
	d.prefix += name + "."
	return &d
}
