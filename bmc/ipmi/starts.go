// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// A process that is killed leaves a session in every BMC, which lives for a minute. Two such starts within that time are
// let pass, which is three slots with the sessions of a process that had lived long before; the next one opens sessions
// for readings only when the older of the two is out of all tables. One slot of the usual four stays for people.
const (
	startsMost = 2
	startsTime = 63 * time.Second // sessions without traffic end after 60 s, +-3 (IPMI v2.0, section 6.12.15)
)

// starts is the account of this start.
type starts struct {
	file string
	from time.Time // sessions are opened for readings from then on; zero = at once
	mine string    // line of this start
}

// begun notes a start and tells when sessions may be opened. The file has a line for each start that did not end
// properly: the time from which it opened sessions.
func begun(file string, now time.Time) (starts, error) {
	s := starts{file: file}
	if file == "" {
		return s, nil
	}
	times, err := readStarts(file)
	if err != nil {
		return s, err
	}
	times = slices.DeleteFunc(times, func(t time.Time) bool { return t.After(now) || now.Sub(t) > startsTime }) // those never came to it, or are forgotten
	slices.SortFunc(times, time.Time.Compare)
	at := now
	if n := len(times); n >= startsMost {
		at = times[n-startsMost].Add(startsTime)
		s.from = at
	}
	times = append(times, at)
	s.mine = at.UTC().Format(time.RFC3339Nano)
	return s, writeStarts(file, times)
}

// end takes this start out of the account: its sessions are closed.
func (s starts) end() error {
	if s.file == "" {
		return nil
	}
	times, err := readStarts(s.file)
	if err != nil {
		return err
	}
	return writeStarts(s.file, slices.DeleteFunc(times, func(t time.Time) bool { return t.UTC().Format(time.RFC3339Nano) == s.mine }))
}

// readStarts reads the file; lines that are no times are passed over: an account is worth no refusal to start.
func readStarts(file string) ([]time.Time, error) {
	b, err := os.ReadFile(file) //nolint:gosec // ours
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("account of starts: %w", err)
	}
	var out []time.Time
	for line := range strings.Lines(string(b)) {
		if t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(line)); err == nil {
			out = append(out, t)
		}
	}
	return out, nil
}

// writeStarts writes the file anew. It is not synced: what it tells of is forgotten after a minute.
func writeStarts(file string, times []time.Time) error {
	var b strings.Builder
	for _, t := range times {
		b.WriteString(t.UTC().Format(time.RFC3339Nano) + "\n")
	}
	if err := os.WriteFile(file+".new", []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("account of starts: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("account of starts: %w", err)
	}
	return nil
}
