// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ferrite/internal/redact"
)

// knownSecrets are all that can be known here: of the settings, the environment, command lines and the files that settings
// name, of this process and of the conductor's.
func knownSecrets(e *examination) *redact.Redactor {
	r := redact.New(e.api.password)
	for _, row := range e.settings.Effective() {
		r.Learn([]string{row.Key + "=" + row.Value})
	}
	lines := [][]string{os.Args, os.Environ()}
	if e.pid != 0 { // its flags and environment may be others; only root and its user may look
		for _, f := range []string{"cmdline", "environ"} {
			if b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(e.pid), f)); err == nil { //nolint:gosec // of the kernel
				lines = append(lines, strings.Split(string(b), "\x00"))
			}
		}
	}
	for _, args := range lines {
		r.Learn(args)
		learnSettings(r, args)
	}
	files := []string{filepath.Join(e.cfg.DataDir, "cluster.key")}
	for _, key := range []string{"cluster_key_file", "htpasswd_file", "nats_htpasswd_file", "api_tls_key", "tls_key"} {
		files = append(files, e.settings.String(key))
	}
	if old, err := filepath.Glob(filepath.Join(e.cfg.DataDir, "cluster.key*")); err == nil {
		files = append(files, old...)
	}
	for _, f := range files {
		learnFile(r, f)
	}
	return r
}

// learnFile makes the lines of a small secret file known: keys, hashes behind a user's name, the body of a PEM.
func learnFile(r *redact.Redactor, file string) {
	if info, err := os.Stat(file); file == "" || err != nil || info.Size() > 1<<20 {
		return
	}
	b, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return // what cannot be read here is not in any part either, but for where secrets stand
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-----") || strings.HasPrefix(line, "#") {
			continue
		}
		if _, hash, ok := strings.Cut(line, ":"); ok {
			line = hash
		}
		r.Add(line)
	}
}

// learnSettings makes known what the settings file that a command line or an environment names holds, were it not valid.
func learnSettings(r *redact.Redactor, args []string) {
	for i, a := range args {
		file, ok := strings.CutPrefix(a, "--config=")
		if !ok {
			file, ok = strings.CutPrefix(a, "FERRITE_CONFIG=")
		}
		if !ok && a == "--config" && i+1 < len(args) {
			file, ok = args[i+1], true
		}
		if !ok {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				r.Learn([]string{key + "=" + strings.Trim(strings.TrimSpace(value), `"'`)})
			}
		}
	}
}
