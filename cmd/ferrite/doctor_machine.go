// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/internal/doctor"
)

const (
	areaSettings doctor.Area = "settings"
	areaFiles    doctor.Area = "files"
	areaPorts    doctor.Area = "ports"
	areaNATS     doctor.Area = "NATS"
	areaNova     doctor.Area = "Nova"
)

func (e *examination) add(f ...doctor.Finding) { e.findings = append(e.findings, f...) }

// configuration reads the settings as "serve" would. With bad ones the machine is looked at with the defaults.
func (e *examination) configuration(c *cobra.Command) {
	const do = "correct it; \"ferrite config check\" tells the same, docs/config.md what is allowed"
	var err error
	e.settings, err = loadSettings(c)
	if err == nil {
		e.cfg, err = conductorConfig(e.settings)
	}
	if err == nil {
		e.valid = true
	} else {
		for line := range strings.Lines(err.Error()) {
			e.add(areaSettings.Fail("valid", strings.TrimSpace(line), "settings that a conductor starts with", do))
		}
	}
	if e.settings == nil {
		if e.settings, err = config.Load(nil, nil, ""); err != nil {
			panic(err) // the defaults are valid, or no test of package config passes
		}
		e.cfg = conductor.Defaults()
		e.cfg.DataDir = e.settings.String("data_dir")
	}
	if !e.valid {
		return
	}
	given := 0
	for _, r := range e.settings.Effective() {
		if e.settings.Given(r.Key) {
			given++
		}
	}
	e.add(areaSettings.OK("valid", "%d are set, the others have their defaults", given))
	for _, note := range e.settings.Notes() {
		e.add(areaSettings.Warn("in use", note, "settings that have an effect", "take it out"))
	}
	if host, _, err := net.SplitHostPort(e.cfg.APIListen); err == nil && e.cfg.AuthStrategy == "noauth" && !loopbackHost(host) {
		e.add(areaSettings.Warn("who may use the API", "everybody who reaches "+e.cfg.APIListen, "users that sign in", "auth_strategy: http_basic, htpasswd_file and api_tls_cert"))
	}
	if host, _, err := net.SplitHostPort(e.cfg.NATSListen); err == nil && e.cfg.NATSHtpasswdFile == "" && !loopbackHost(host) {
		e.add(areaSettings.Warn("who may listen", "everybody who reaches "+e.cfg.NATSListen, "users that sign in", "nats_htpasswd_file"))
	}
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// machine looks at everything but the conductor.
func (e *examination) machine() {
	e.add(doctor.Folder(e.cfg.DataDir, e.cfg.DiskMinFree, e.probe)...)
	e.secretFiles()
	e.add(doctor.Clock()...)
	e.add(doctor.Limits(e.limits())...)
	e.ports()
}

func (e *examination) limits() doctor.Fleet {
	f := doctor.Fleet{PID: e.pid, Sockets: e.cfg.IPMI.Shards, Window: e.cfg.IPMI.Window, Buffer: e.cfg.IPMI.ReceiveBuffer}
	if f.Sockets == 0 {
		f.Sockets = min(runtime.NumCPU(), 2)
	}
	if e.fleet != nil {
		f.Nodes = e.fleet.Nodes
	}
	f.Files, f.MaxFiles = e.metrics.Count("process_open_fds"), e.metrics.Count("process_max_fds")
	f.GoMaxProcs = e.metrics.Count("go_sched_gomaxprocs_threads")
	return f
}

// secretFiles looks at who may read what must stay secret.
func (e *examination) secretFiles() {
	key := cmp.Or(e.settings.String("cluster_key_file"), filepath.Join(e.cfg.DataDir, "cluster.key"))
	if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) && e.settings.String("cluster_key_file") == "" && !hasState(e.cfg.DataDir) {
		e.add(areaFiles.OK("cluster key", "%s is not there yet: the first start makes it", key))
	} else {
		e.add(doctor.Private(areaFiles, "cluster key", key))
	}
	for _, f := range []struct{ what, setting string }{{"TLS key", "api_tls_key"}, {"conductors' TLS key", "tls_key"}, {"users", "htpasswd_file"}, {"who may listen", "nats_htpasswd_file"}} {
		if file := e.settings.String(f.setting); file != "" {
			e.add(doctor.Private(areaFiles, f.what, file))
		}
	}
	for _, setting := range []string{"api_tls_cert", "tls_cert"} {
		if file := e.settings.String(setting); file != "" {
			e.add(certificateAge(setting, file, time.Now()))
		}
	}
	in := map[string]bool{}
	for _, r := range e.settings.Effective() {
		secret := r.Value != "" && maskRow(r).Value != r.Value
		switch {
		case secret && strings.HasPrefix(r.Source, "flag "):
			e.add(areaFiles.Warn(r.Key, "given in a flag, which everybody on this machine can read (ps)", "it in the file or the environment", "put it into the file of --config, mode 0640"))
		case secret && strings.HasPrefix(r.Source, "file "):
			in[strings.TrimPrefix(r.Source, "file ")] = true
		}
	}
	for file := range in { // one at most
		e.add(doctor.Private(areaFiles, "settings file", file))
	}
}

// hasState reports whether a data folder holds anything that a conductor has written.
func hasState(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "lost+found" {
			return true
		}
	}
	return false
}

// certificateAge looks at how long a certificate is still good.
func certificateAge(check, file string, now time.Time) doctor.Finding {
	do := map[string]string{"api_tls_cert": "renew it; the conductor reads it again by itself", "tls_cert": "renew it, and restart this conductor"}[check]
	b, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return areaFiles.Warn(check, err.Error(), "a certificate in PEM", "run doctor as root or as the user of the conductor")
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return areaFiles.Fail(check, file+" holds no PEM", "a certificate in PEM", do)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return areaFiles.Fail(check, err.Error(), "a certificate in PEM", do)
	}
	found := fmt.Sprintf("%s is good until %s", file, cert.NotAfter.UTC().Format(time.DateOnly))
	switch left := cert.NotAfter.Sub(now); {
	case left < 0:
		return areaFiles.Fail(check, found, "one that has not ended", do)
	case left < 14*24*time.Hour:
		return areaFiles.Warn(check, found, "two weeks or more", do)
	}
	return areaFiles.OK(check, "%s", found)
}

// ports looks at who holds what a conductor listens on.
func (e *examination) ports() {
	list := [][2]string{{"api_listen", e.cfg.APIListen}, {"pprof_listen", e.cfg.PprofListen}}
	if e.cfg.NATSURL == "" {
		list = append(list, [2]string{"nats_listen", e.cfg.NATSListen})
	}
	if c := e.cfg.Cluster; c != nil {
		list = append(list, [2]string{"gossip_listen", c.Gossip}, [2]string{"raft_listen", c.Raft}, [2]string{"remote_listen", c.Remote})
	}
	for _, l := range list {
		if l[1] == "" {
			continue
		}
		p := doctor.Look(l[1])
		found := l[1] + " is " + p.String()
		ours := p.PID != 0 && p.PID == e.pid || p.PID == 0 && e.up && e.api.derived
		switch {
		case p.Err != nil:
			e.add(areaPorts.Fail(l[0], l[1]+": "+p.Err.Error(), "an address of this machine, and a port that may be taken", "correct "+l[0]))
		case p.Free && e.up && e.api.derived && l[0] == "api_listen":
			e.add(areaPorts.Warn(l[0], found+", and yet a conductor answers", "the running conductor there", "it runs elsewhere (a container?) or with other settings"))
		case p.Free, ours:
			e.add(areaPorts.OK(l[0], "%s%s", found, map[bool]string{true: ": the conductor"}[ours]))
		case e.pid == 0 && e.up && e.api.derived:
			e.add(areaPorts.Warn(l[0], found+", and no conductor uses "+e.cfg.DataDir, "the conductor of these settings there", "give doctor the settings that the conductor has (--data-dir, --config)"))
		default:
			e.add(areaPorts.Fail(l[0], found, "a free port, or the conductor there", "stop that process, or choose another address by "+l[0]))
		}
	}
}

// nats looks at the server that notifications go to.
func (e *examination) nats() {
	if e.cfg.NATSURL == "" {
		if e.cfg.NATSListen == "" {
			e.add(areaNATS.OK("server", "none is set: nobody is told anything"))
		} else if !e.up {
			e.add(areaNATS.OK("server", "inside of the conductor, on %s when it runs", e.cfg.NATSListen))
		} else {
			e.natsAt("nats://" + e.cfg.NATSListen)
		}
	} else {
		for u := range strings.SplitSeq(e.cfg.NATSURL, ",") {
			e.natsAt(strings.TrimSpace(u))
		}
	}
	if e.cfg.NotificationLevel == "" {
		e.add(areaNATS.OK("notifications", "notification_level is empty: none are sent"))
	}
}

// natsInfo is what a NATS server says to whoever connects.
type natsInfo struct {
	Version   string `json:"version"`
	Auth      bool   `json:"auth_required"`
	TLS       bool   `json:"tls_required"`
	JetStream bool   `json:"jetstream"`
}

const natsTimeout = 5 * time.Second

func (e *examination) natsAt(where string) {
	shown := withoutPassword(where)
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		u, err = url.Parse("nats://" + where)
	}
	if err != nil {
		e.add(areaNATS.Fail("server", "an address that is no URL", "nats://host:port", "correct nats_url"))
		return
	}
	if u.Scheme == "ws" || u.Scheme == "wss" {
		e.add(areaNATS.OK("server", "%s is over websockets: not looked at", shown))
		return
	}
	info, took, err := askNATS(net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222")))
	switch {
	case err != nil:
		e.add(areaNATS.Fail("server", shown+": "+err.Error(), "a NATS server that answers", "start it, or correct nats_url; operations go on, notifications wait in the outbox"))
	case e.cfg.NATSJetStream && !info.JetStream:
		e.add(areaNATS.Fail("server", shown+" has no JetStream", "JetStream, which nats_jetstream asks for", "switch it on there, or nats_jetstream off"))
	case info.Auth && u.User == nil && e.cfg.NATSURL != "":
		e.add(areaNATS.Warn("server", shown+" wants a login, and nats_url has none", "credentials", "put user:password@ into nats_url"))
	default:
		e.add(areaNATS.OK("server", "%s answers in %s (version %s)", shown, took.Round(10*time.Microsecond), plain(info.Version)))
	}
}

// askNATS reads the first line of a server: INFO and JSON. With TLS first there is none.
func askNATS(address string) (info natsInfo, took time.Duration, err error) {
	began := time.Now()
	conn, err := net.DialTimeout("tcp", address, natsTimeout)
	if err != nil {
		return info, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(natsTimeout)); err != nil {
		return info, 0, err
	}
	line, err := bufio.NewReaderSize(conn, 64<<10).ReadSlice('\n')
	if err != nil {
		return info, 0, fmt.Errorf("wanted the greeting of a NATS server: %w", err)
	}
	text, ok := strings.CutPrefix(string(line), "INFO ")
	if !ok {
		return info, 0, errors.New("wanted the greeting of a NATS server, found something else")
	}
	return info, time.Since(began), json.Unmarshal([]byte(text), &info)
}

// nova looks at whether Nova or Keystone can be reached.
func (e *examination) nova() {
	where := cmp.Or(e.cfg.Nova.Endpoint, e.cfg.Nova.AuthURL)
	if !e.cfg.NovaPower || where == "" {
		return
	}
	u, err := url.Parse(where)
	if err != nil {
		e.add(areaNova.Fail("reachable", "an address that is no URL", "http://host:port", "correct nova.auth_url or nova.endpoint_override"))
		return
	}
	port := cmp.Or(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80")
	began := time.Now()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), port), natsTimeout)
	if err != nil {
		e.add(areaNova.Warn("reachable", u.Redacted()+": "+err.Error(), "Nova or Keystone there", "look at the network and at nova.*; power updates are tried three times, then dropped"))
		return
	}
	_ = conn.Close()
	if n := e.metrics.Count("conductor_nova_dropped_total"); n > 0 {
		e.add(areaNova.Warn("told", fmt.Sprintf("%d power updates were dropped since the start", n), "none", "look at the log for why Nova refused them"))
	}
	e.add(areaNova.OK("reachable", "%s connects in %s", u.Redacted(), time.Since(began).Round(10*time.Microsecond)))
}
