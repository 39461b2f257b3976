// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// DefaultListen is where consumers find the server: loopback, NATS's own port.
const DefaultListen = "127.0.0.1:4222"

const (
	maxPayload = 8 << 20          // bytes of one message; a node's notification may exceed NATS's default of 1 MB
	maxPending = 32 << 20         // bytes kept for a slow consumer before it is dropped
	startWait  = 10 * time.Second // until the server must accept connections
)

// Config of Start. The zero value is a server on DefaultListen.
type Config struct {
	Listen string // host:port; port 0 = any free one, "" = DefaultListen
	Name   string // server name shown to clients, "" = one that NATS makes up
	Logger *slog.Logger
	Users  []User // who may listen, and nothing else; none = whoever reaches the server may listen and publish

	// Cluster is host:port for routes to other servers; "" = none. Secret is what they sign in with, Secrets are further ones
	// that are taken from others, TLS is what they speak.
	Cluster string
	Secret  string
	Secrets []string
	TLS     *tls.Config
}

// Server is a running NATS server.
type Server struct {
	nats     *server.Server
	user     string // of routes
	password string // ours

	mu   sync.Mutex      // one change of routes at a time
	opts *server.Options // as at the start
	auth *secrets        // of routes; nil = there are none
	to   []string        // where routes lead
}

// Start runs a server and returns once it accepts connections.
func Start(cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, port, err := address(cfg.Listen)
	if err != nil {
		return nil, err
	}
	// The server itself only logs that it could not listen; asking first gives an error that can be told apart.
	probe, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, cannotListen(cfg.Listen, err)
	}
	_ = probe.Close()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{
		ServerName: cfg.Name, Host: host, Port: port,
		MaxPayload: maxPayload, MaxPending: maxPending,
		NoSigs: true, NoSystemAccount: true,
	}
	if cfg.Cluster != "" {
		if err := routed(opts, cfg); err != nil {
			return nil, err
		}
	}
	password, err := admit(opts, cfg.Users)
	if err != nil {
		return nil, err
	}
	var auth *secrets
	if cfg.Cluster != "" {
		auth = newSecrets(cfg.Secret, cfg.Secrets...)
		opts.CustomRouterAuthentication = auth
		if len(cfg.Users) == 0 {
			opts.CustomClientAuthentication, opts.AuthTimeout = open{}, helloWait
		}
	}
	kept := opts.Clone()
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	log := &logger{log: cfg.Logger}
	ns.SetLogger(log, false, false)
	ns.Start()
	if !ns.ReadyForConnections(startWait) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, cannotListen(cfg.Listen, log.fatal())
	}
	return &Server{nats: ns, opts: kept, user: kept.Cluster.Username, password: password, auth: auth}, nil
}

// ClientURL is the address for consumers, like nats://127.0.0.1:4222.
func (s *Server) ClientURL() string { return s.nats.ClientURL() }

// InProcessConn is a connection for a client in the same process, without a socket.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// Clients is the number of connected clients, our own included.
func (s *Server) Clients() int { return s.nats.NumClients() }

// Shutdown closes all connections and waits until the server is gone. It may be called again.
func (s *Server) Shutdown() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

func address(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("nats-listen: wanted host:port like %s, found %q", DefaultListen, listen)
	}
	return host, port, nil
}

func cannotListen(listen string, cause error) error {
	if cause == nil {
		cause = errors.New("not ready in time")
	}
	return fmt.Errorf("nats-listen: cannot listen on %s: %w: choose another address or stop what uses this one", listen, cause)
}
