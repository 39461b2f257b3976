// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
)

// Exit codes, as "ferrite --help" tells.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is a wrong command line or configuration: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its outside passed in, so that tests can call it.
func run(args []string, out, errOut io.Writer) int {
	ctx, release := untilSignal(context.Background())
	defer release()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(errOut, "ferrite:", oneLine(err))
		return exitUsage
	default:
		fmt.Fprintln(errOut, "ferrite:", oneLine(err))
		return exitFailed
	}
}

// oneLine keeps an error that was joined from several on one line.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// atOnce is what must still be done when a second signal ends the process: the demo removes its folder.
var atOnce atomic.Pointer[func()]

// onHangup is what SIGHUP means to a command that runs as a service: read the settings again. nil = the terminal is gone.
var onHangup atomic.Pointer[func()]

// untilSignal ends ctx at the first SIGINT, SIGTERM or SIGHUP (the terminal is gone) and the process at the second.
func untilSignal(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case sig := <-ch:
				if f := onHangup.Load(); sig == syscall.SIGHUP && f != nil {
					(*f)()
					n--
					continue
				}
			}
			if n > 0 {
				if f := atOnce.Load(); f != nil {
					(*f)()
				}
				os.Exit(exitInterrupted)
			}
			cancel()
		}
	}()
	return ctx, func() { signal.Stop(ch); close(done); cancel() }
}
