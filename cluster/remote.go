// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// gate is the one actor of a member that others may send to.
const gate = "gate"

// actors is protoactor's remote as a Transport. Of its messages only one of bytes is used, so that nothing is generated.
type actors struct {
	system *actor.ActorSystem
	remote *remote.Remote
	pid    *actor.PID
	once   sync.Once

	mu sync.Mutex // guards fn
	fn func([]byte)
}

// Remote makes a Transport of protoactor's remote that listens on host:port. With tls, both sides show certificates.
// Its Start writes a global of gRPC's: several in one process are a data race that is not ours (use Network in tests).
func Remote(listen string, t *tls.Config) (tr Transport, err error) {
	return RemoteThrough(nil, listen, t)
}

// RemoteThrough is Remote with a cable that it sends through; nil = the network.
func RemoteThrough(cable Cable, listen string, t *tls.Config) (tr Transport, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("remote-listen is %q: wanted ADDRESS:PORT, like 10.0.0.1:6387", listen)
	}
	port, err := strconv.Atoi(text)
	if err != nil || net.ParseIP(host) == nil {
		return nil, fmt.Errorf("remote-listen is %q: wanted ADDRESS:PORT, like 10.0.0.1:6387", listen)
	}
	if port == 0 { // it can only be told a number
		if port, err = freePort(host); err != nil {
			return nil, fmt.Errorf("remote-listen %s: %w", listen, err)
		}
	}
	if c, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil { // its own answer is a panic
		return nil, fmt.Errorf("remote-listen %s: %w; stop what holds it or choose another address", listen, err)
	} else if err := c.Close(); err != nil {
		return nil, err
	}
	a := &actors{}
	a.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}), actor.WithDeadLetterThrottleInterval(time.Millisecond))
	dial, serve := insecure.NewCredentials(), insecure.NewCredentials()
	if t != nil {
		dial, serve = credentials.NewTLS(t), credentials.NewTLS(t)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(dial), grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second})}
	if cable != nil {
		options = append(options, grpc.WithContextDialer(cable.Dial))
	}
	c := remote.Configure(bracket(host), port,
		remote.WithDialOptions(options...),
		remote.WithServerOptions(grpc.Creds(serve), grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true})),
		remote.WithEndpointWriterQueueSize(1024), remote.WithEndpointManagerQueueSize(1024), // else a million places are made for each peer
	)
	a.remote = remote.NewRemote(a.system, c)
	defer func() {
		if p := recover(); p != nil {
			tr, err = nil, fmt.Errorf("remote-listen %s: %v", listen, p)
		}
	}()
	a.remote.Start()
	props := actor.PropsFromFunc(func(c actor.Context) {
		m, ok := c.Message().(*wrapperspb.BytesValue)
		if !ok {
			return
		}
		a.mu.Lock()
		fn := a.fn
		a.mu.Unlock()
		if fn != nil {
			fn(m.Value)
		}
	})
	if a.pid, err = a.system.Root.SpawnNamed(props, gate); err != nil {
		return nil, err
	}
	return a, nil
}

func bracket(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

func freePort(host string) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}

// Addr implements Transport.
func (a *actors) Addr() string { return a.system.Address() }

// Handle implements Transport.
func (a *actors) Handle(fn func([]byte)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fn = fn
}

// Send implements Transport.
func (a *actors) Send(to string, b []byte) {
	a.system.Root.Send(actor.NewPID(to, gate), &wrapperspb.BytesValue{Value: b})
}

// Drop implements Transport: remote would try a dead address for ten seconds.
func (a *actors) Drop(to string) {
	a.system.EventStream.Publish(&remote.EndpointTerminatedEvent{Address: to})
}

// Close implements Transport.
func (a *actors) Close() error {
	a.once.Do(func() {
		a.remote.Shutdown(false)
		a.system.Root.Stop(a.pid)
		a.system.Shutdown()
	})
	return nil
}
