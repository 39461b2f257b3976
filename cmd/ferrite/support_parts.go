// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferrite/client"
	"ferrite/httpapi/wire"
	"ferrite/persistence"
)

// parts are what a bundle is made of, in their order.
func (b *bundle) parts() []part {
	return []part{
		{"doctor.txt", "what doctor finds", b.doctorText},
		{"doctor.json", "the same for programs", func() (string, error) { return indented(b.e.report()) }},
		{"settings.json", "all settings and where they come from", func() (string, error) { return indented(b.e.rows(true)) }},
		{"versions.json", "of this binary, its build and the kernel", versions},
		{"machine.txt", "memory, load, network counters, limits of the conductor's process", b.machine},
		{"metrics.txt", "the conductor's /metrics", func() (string, error) { return b.fetched("/metrics") }},
		{"nodes.json", "counts of nodes by state and class of BMC, nodes in trouble", b.nodes},
		{"conductors.json", "the members", func() (string, error) { return b.fetched("/v1/conductors?detail=True") }},
		{"store.txt", "a check of the store", b.store},
		{"goroutines.txt", "what the conductor's goroutines do", b.goroutines},
		{"log.txt", "the end of the log", b.log},
		{"audit.txt", "the audit lines of it", b.audit},
	}
}

func indented(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b) + "\n", err
}

func (b *bundle) doctorText() (string, error) {
	var out bytes.Buffer
	err := printReport(&out, b.e.report())
	return out.String(), err
}

var errStopped = errors.New("no conductor answers")

// fetched is what the API answers.
func (b *bundle) fetched(path string) (string, error) {
	if !b.e.up {
		return "", errStopped
	}
	status, body, err := b.e.api.get(b.e.ctx, path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s is answered with %d: %s", path, status, clip(string(body)))
	}
	return string(body), err
}

func (b *bundle) nodes() (string, error) {
	if b.e.fleet == nil {
		return "", errors.New("doctor says why")
	}
	var out bytes.Buffer
	err := json.Indent(&out, b.e.fleet.raw, "", "  ")
	return out.String(), err
}

// versions is what this binary is made of and runs on.
func versions() (string, error) {
	doc := map[string]any{
		"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(),
		"api_min_version": wire.VersionString(wire.MinMinor), "api_max_version": wire.VersionString(wire.MaxMinor),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		doc["kernel"] = unix.ByteSliceToString(u.Release[:])
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		build, modules := map[string]string{}, map[string]string{}
		for _, s := range info.Settings {
			build[s.Key] = s.Value
		}
		for _, m := range info.Deps {
			modules[m.Path] = m.Version
		}
		doc["build"], doc["modules"] = build, modules
	}
	return indented(doc)
}

// machine is what the kernel tells. Nothing of it is a command line or an environment.
func (b *bundle) machine() (string, error) {
	files := []string{"/proc/loadavg", "/proc/meminfo", "/proc/net/snmp", "/proc/net/udp", "/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory", "/proc/sys/net/core/rmem_max"}
	if b.e.pid != 0 {
		for _, f := range []string{"limits", "status", "cgroup", "io"} {
			files = append(files, filepath.Join("/proc", strconv.Itoa(b.e.pid), f))
		}
	}
	var out strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f) //nolint:gosec // of the kernel
		if err != nil {
			text = []byte(err.Error() + "\n")
		}
		fmt.Fprintf(&out, "== %s\n%s\n", f, text)
	}
	return out.String(), nil
}

// store checks the store: by a backup that nobody keeps, or in a copy of the folder of a conductor that does not run.
func (b *bundle) store() (string, error) {
	if b.options.noVerify {
		return "", errors.New("--no-verify")
	}
	var report *persistence.Report
	var err error
	how := "by a backup of the running conductor"
	switch {
	case b.e.up:
		report, err = checkRunning(b.e.ctx, b.e.api)
	case b.e.pid != 0:
		return "", fmt.Errorf("process %d uses the data folder and does not answer", b.e.pid)
	case !hasState(b.e.cfg.DataDir):
		return "", errors.New("there is no state in " + b.e.cfg.DataDir)
	default:
		how = "in a copy of the data folder"
		report, err = persistence.CheckDir(b.e.cfg.DataDir, nil, nil)
	}
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "checked %s: %s, revision %d, %d log entries, %d events, %d sealed values\n", how, contents(report), report.Applied, report.Entries, report.Events, report.Secrets)
	if err := report.Err(); err == nil {
		out.WriteString("no problem was found\n")
	}
	for _, p := range report.Problems {
		fmt.Fprintln(&out, "problem:", plain(p))
	}
	if report.More > 0 {
		fmt.Fprintf(&out, "and %d more\n", report.More)
	}
	return out.String(), nil
}

// checkRunning reads a backup and keeps nothing of it.
func checkRunning(ctx context.Context, api *apiTarget) (*persistence.Report, error) {
	opts := []client.Option{client.WithUserAgent("ferrite-support/" + version), client.WithHTTPClient(api.http)}
	if api.user != "" {
		opts = append(opts, client.WithBasicAuth(api.user, api.password))
	}
	from := client.New(api.base.String(), opts...)
	pr, pw := io.Pipe()
	go func() {
		_, err := from.Backup(ctx, pw)
		_ = pw.CloseWithError(err) // nil is the end
	}()
	report, err := persistence.CheckBackup(pr, nil, nil)
	_ = pr.CloseWithError(err)
	return report, err
}

// goroutines are the stacks of the conductor, if it serves pprof.
func (b *bundle) goroutines() (string, error) {
	if b.e.cfg.PprofListen == "" {
		return "", errors.New("pprof_listen is not set")
	}
	if !b.e.up {
		return "", errStopped
	}
	ctx, cancel := context.WithTimeout(b.e.ctx, doctorTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.e.cfg.PprofListen+"/debug/pprof/goroutine?debug=2", nil)
	if err != nil {
		return "", err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 2*maxPart))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("pprof answers with %d", r.StatusCode)
	}
	return string(body), err
}

// readLog reads the end of the log once.
func (b *bundle) readLog() ([]string, error) {
	if b.logged != nil || b.logErr != nil {
		return b.logged, b.logErr
	}
	var text []byte
	if file := b.options.logFile; file != "" {
		text, b.logErr = readEnd(file, maxPart)
	} else {
		ctx, cancel := context.WithTimeout(b.e.ctx, 30*time.Second)
		defer cancel()
		text, b.logErr = exec.CommandContext(ctx, "journalctl", "--unit", "ferrite.service", "--no-pager", "--output", "short-iso", "--lines", strconv.Itoa(b.options.logLines)).Output() //nolint:gosec // a number
		if b.logErr != nil {
			b.logErr = fmt.Errorf("no log is known (systemd's journal: %w): name one with --log-file", b.logErr)
		} else if !bytes.Contains(text, []byte("ferrite")) {
			b.logErr = errors.New("systemd's journal has nothing of ferrite.service: name a log with --log-file")
		}
	}
	if b.logErr == nil {
		b.logged = strings.SplitAfter(string(text), "\n")
		b.logged = b.logged[max(0, len(b.logged)-1-b.options.logLines):]
	}
	return b.logged, b.logErr
}

// readEnd reads the last bytes of a file, from the beginning of a line on.
func readEnd(file string, most int64) ([]byte, error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-most)
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if from > 0 {
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return text, err
}

func (b *bundle) log() (string, error) {
	lines, err := b.readLog()
	return strings.Join(lines, ""), err
}

func (b *bundle) audit() (string, error) {
	lines, err := b.readLog()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, l := range lines {
		if strings.Contains(l, `"msg":"audit"`) || strings.Contains(l, " audit ") {
			out.WriteString(l)
		}
	}
	return out.String(), nil
}
