// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"ferrite/httpapi/wire"
	"ferrite/inventory"
	"ferrite/node"
	"ferrite/persistence"
)

// Commands hands a change to the node's owner. The reply is the one named beside the message; errors are *node.Error.
type Commands interface {
	Do(ctx context.Context, nodeUUID string, meta node.Meta, m node.Msg) (any, error)
}

// Reader is what the API reads of persistence.Store.
type Reader interface {
	Node(uuid string) (*node.Node, bool)
	Port(uuid string) (*inventory.Port, bool)
	Holder(uniq string) (persistence.Key, bool)
	Nodes(after *node.Node, fn func(*node.Node) bool)
	Ports(after *inventory.Port, fn func(*inventory.Port) bool)
	PortsOf(nodeUUID string) []*inventory.Port
	Scan(k persistence.Kind, prefix string, fn func(persistence.Record) bool)
	ReadIndex(ctx context.Context) (node.Rev, error)
	LeaderContact() time.Time
}

// Hardware is what drivers say without asking a BMC.
type Hardware interface {
	// Types are the enabled hardware types.
	Types() []node.HardwareType
	// Enabled are the enabled interfaces by kind, Defaults the configured defaults.
	Enabled() map[string][]string
	Defaults() map[string]string
	// Validate tells by interface kind whether the node has what the driver needs.
	Validate(n *node.Node) map[string]node.Validity
	// BootDevices are the boot devices that the node's driver can set.
	BootDevices(n *node.Node) ([]string, error)
	// Properties describe the driver_info keys of a hardware type.
	Properties(driver string) (map[string]string, bool)
}

// Conductor is a member of the cluster as the API shows it.
type Conductor = wire.Conductor

// Members tells who serves.
type Members interface {
	Conductors() []Conductor
	// OwnerOf is the conductor that looks after a node, "" = nobody.
	OwnerOf(n *node.Node) string
	// Served is the refusal of what a node's conductor would be asked where no living one serves its group; nil = one does.
	Served(n *node.Node) error
	// Self is this conductor's name.
	Self() string
}

// Health says whether this conductor may be sent requests.
type Health interface {
	// Ready is why not, nil = it may.
	Ready() error
	// Ails is what does not go on although requests are served, "" = all does.
	Ails() string
}

// Config is what a Server is made of. Commands, Reader, Hardware and Members are needed; the rest may be zero.
type Config struct {
	Commands Commands
	Reader   Reader
	Hardware Hardware
	Members  Members
	Chassis  ChassisStore // nil = there is no resource "chassis"
	Health   Health       // nil = always ready
	Metrics  http.Handler // GET /metrics; nil = 404

	// Confirmed tells when a node's BMC last confirmed its power state, zero = not yet; nil = never.
	Confirmed func(uuid string) time.Time
	// SensorHealth tells what a node's sensors said when they were read last, nil = they were not; nil = they are not read.
	SensorHealth func(uuid string) *node.Health

	Notifications Notifications // GET /v1/x/notifications; nil = 404
	Backups       Backups       // GET /v1/x/backup; nil = 404
	Secrets       Secrets       // GET /v1/x/secrets, POST /v1/x/secrets/{rotate,drop}; nil = 404
	Cluster       Cluster       // below /v1/x/cluster; nil = 404

	Logger *slog.Logger // failures; nil = slog.Default()
	Audit  *slog.Logger // one line a change; nil = Logger
	// Observe is told each request's route ("GET /nodes/{node}"), status and time taken; nil = nobody.
	Observe func(route string, status int, took time.Duration)

	TLS            *tls.Config   // nil = plain HTTP
	PublicEndpoint string        // base of all links, "http://host:6385"; "" = as the request has it
	HtpasswdFile   string        // http_basic with this file; "" = noauth
	MaxLimit       int           // largest page; 0 = 1000
	ReadWait       time.Duration // how long a read index may take (R4); 0 = 2 s
	CommandWait    time.Duration // how long a change may take, BMC calls included; 0 = 90 s
	StaleAfter     time.Duration // after a silence of the log's leader for so long, reads are served stale (R4); 0 = 10 s
	Limits         Limits        // of what clients can make the API hold
}

const defaultMaxLimit = 1000 // nodes of a page

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Audit == nil {
		c.Audit = c.Logger
	}
	if c.MaxLimit <= 0 {
		c.MaxLimit = defaultMaxLimit
	}
	if c.ReadWait <= 0 {
		c.ReadWait = 2 * time.Second
	}
	if c.CommandWait <= 0 {
		c.CommandWait = 90 * time.Second
	}
	if c.StaleAfter <= 0 {
		c.StaleAfter = 10 * time.Second
	}
	c.Limits = c.Limits.withDefaults()
	return c
}
