// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"

	"ferrite/actors"
	"ferrite/bmc/fake"
	"ferrite/bmc/ipmi"
	"ferrite/httpapi"
	"ferrite/node"
	"ferrite/notify/nova"
)

// HistoryLimit bounds the history of a node.
type HistoryLimit = actors.HistoryLimit

// APILimits bound what clients can make the API hold.
type APILimits = httpapi.Limits

// Config is what one conductor runs with. Defaults gives a lone conductor on loopback.
type Config struct {
	Name    string   // stable name: reservation, conductor, publisher ids; default the host's name
	DataDir string   // log, state and cluster.key; made when missing
	Key     []byte   // 32 bytes, the cluster key; nil = read or make cluster.key in DataDir
	Keys    [][]byte // further keys, which only open until a rotation makes one of them the one in use
	KeyFile string   // where Key and Keys were read from, and where a new one is kept when it is rotated; "" = nowhere
	Group   string   // conductor_group
	Version string   // of the binary, for metrics and answers
	Logger  *slog.Logger
	Policy  node.Policy

	Cluster *Cluster // nil = a lone conductor

	APIListen      string              // host:port; port 0 = any
	APIListener    net.Listener        // instead of APIListen
	APITLS         *tls.Config         // nil = plain HTTP
	PublicEndpoint string              // base of links, "" = from the request
	MaxLimit       int                 // api max_limit
	APILimits      APILimits           // of what clients can make the API hold; zero = its defaults
	History        actors.HistoryLimit // what is kept of a node's history
	MaxWaiting     int                 // changes that may wait for their nodes at once; 0 = 4096
	AuthStrategy   string              // "noauth" or "http_basic"
	HtpasswdFile   string
	PprofListen    string // loopback host:port, "" = off

	NATSListen         string // embedded server; "" = none
	NATSHtpasswdFile   string // who may listen there; "" = everybody
	NATSURL            string // existing NATS instead
	NATSJetStream      bool   // with NATSURL: a stream there takes the notifications, and acknowledges each
	NotificationLevel  string // "" = nothing is sent
	NotificationFormat string // "bare" or "oslo"
	Topics             []string
	OutboxMaxAge       time.Duration // what is older is dropped, sent or not; 0 = 24 h
	DiskMinFree        uint64        // bytes free on the disk below which writes end; 0 = 5 %, 64 MB to 2 GB
	OutboxMaxBytes     int64         // the oldest beyond are dropped; 0 = 256 MB
	OutboxKeep         time.Duration // what was sent is kept for so long, for replay; 0 = not at all
	NovaPower          bool          // nova.send_power_notifications
	Nova               nova.Config   // where Nova is; nowhere = it is told nothing

	SyncInterval  time.Duration // sync_power_state_interval
	RecoveryEvery time.Duration // power_failure_recovery_interval
	LockRetry     time.Duration // node_locked_retry_attempts x node_locked_retry_interval
	DrainTimeout  time.Duration // graceful_shutdown_timeout
	ServeOn       time.Duration // how long requests are still served after /readyz has turned red

	IPMI      ipmi.Config
	PETListen string // UDP address for platform event traps; "" = none
	Fake      fake.Config

	Sensors SensorData

	subnetSettle time.Duration // see actors.Config; 0 = its default: tests are quicker
}

// Defaults is a lone conductor as Ironic would configure it, with our differences.
func Defaults() Config {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "ferrite"
	}
	return Config{
		Name: name, Logger: slog.Default(), Policy: node.DefaultPolicy(), APIListen: "127.0.0.1:6385", MaxLimit: 1000, MaxWaiting: 4096,
		APILimits:    httpapi.Limits{PerAddress: 2048, HeldBytes: 256 << 20, Working: 64, HeaderTimeout: 10 * time.Second, BodyTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute},
		History:      actors.HistoryLimit{Keep: 300, Batch: 1000, Every: 24 * time.Hour},
		AuthStrategy: "noauth", NATSListen: "127.0.0.1:4222", NotificationFormat: "bare",
		Topics: []string{"ironic_versioned_notifications"}, SyncInterval: 45 * time.Second, RecoveryEvery: 300 * time.Second,
		LockRetry: 3 * time.Second, OutboxMaxAge: 24 * time.Hour, OutboxMaxBytes: 256 << 20, OutboxKeep: 24 * time.Hour, NovaPower: true, Nova: nova.Defaults(), DrainTimeout: 60 * time.Second, ServeOn: time.Second, IPMI: ipmi.Defaults(), Sensors: DefaultSensorData(),
	}
}

// hostName is what clients and notifications can name a conductor by.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,254})$`)

// Validate names the setting that cannot be.
func (c Config) Validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("name is empty: wanted this conductor's stable name")
	case !hostName.MatchString(c.Name):
		return fmt.Errorf("name is %q: wanted letters, digits, dots, - and _, 255 at most, like a host's name", c.Name)
	case c.DataDir == "":
		return fmt.Errorf("data_dir is empty: wanted a folder for log and state")
	case c.AuthStrategy != "noauth" && c.AuthStrategy != "http_basic":
		return fmt.Errorf("auth_strategy is %q: wanted noauth or http_basic", c.AuthStrategy)
	case c.AuthStrategy == "http_basic" && c.HtpasswdFile == "":
		return fmt.Errorf("auth_strategy is http_basic, but htpasswd_file is empty: wanted a file of user:bcrypt lines")
	case c.PprofListen != "" && !loopback(c.PprofListen):
		return fmt.Errorf("pprof_listen is %q: wanted a loopback address", c.PprofListen)
	}
	if c.Cluster != nil {
		if err := c.Cluster.Validate(); err != nil {
			return err
		}
	}
	if err := c.Sensors.validate(); err != nil {
		return err
	}
	return c.checkMessaging()
}

// loopback reports whether a listen address is reachable from this machine alone.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
