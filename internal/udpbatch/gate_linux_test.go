// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package udpbatch

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gated is a socket of its own behind a gate, and another one that is connected to it.
func gated(t *testing.T) (*Gate, *net.UDPConn, func() bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGate(fd, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	peer, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*unix.SockaddrInet4).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	b := make([]byte, 64)
	return g, peer, func() bool {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		return n > 0 && err == nil
	}
}

func TestGateOpensForWhatArrives(t *testing.T) {
	g, peer, receive := gated(t)
	for i := range 200 {
		if i%2 == 0 { // it is there before the wait
			_, _ = peer.Write([]byte{1})
		} else {
			time.AfterFunc(time.Duration(i)*10*time.Microsecond, func() { _, _ = peer.Write([]byte{1}) })
		}
		if err := g.Wait(receive); err != nil {
			t.Fatalf("wait %d: %v", i, err)
		}
		if g.armed {
			t.Fatal("the socket is still watched although nobody waits")
		}
	}
}

// TestGateDeadline: what is over ends a wait at once, also one set meanwhile by somebody else; the gate opens after it as before.
func TestGateDeadline(t *testing.T) {
	g, peer, receive := gated(t)
	g.SetDeadline(time.Unix(1, 0))
	if err := g.Wait(receive); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a wait after its deadline: %v", err)
	}
	g.SetDeadline(time.Time{})
	tries := make(chan struct{}, 1)
	go func() {
		<-tries
		g.SetDeadline(time.Unix(1, 0))
	}()
	err := g.Wait(func() bool {
		select {
		case tries <- struct{}{}:
		default:
		}
		return receive()
	})
	if !errors.Is(err, os.ErrDeadlineExceeded) || g.armed {
		t.Fatalf("woken by a deadline: %v, still watched: %v", err, g.armed)
	}
	g.SetDeadline(time.Time{})
	_, _ = peer.Write([]byte{1})
	if err := g.Wait(receive); err != nil {
		t.Fatalf("after a deadline: %v", err)
	}
}

func TestGateCloses(t *testing.T) {
	g, _, receive := gated(t)
	tries := make(chan struct{}, 1)
	go func() {
		<-tries
		_ = g.Close()
	}()
	err := g.Wait(func() bool {
		select {
		case tries <- struct{}{}:
		default:
		}
		return receive()
	})
	if !errors.Is(err, net.ErrClosed) {
		t.Fatalf("closed while waiting: %v", err)
	}
	if err := g.Wait(receive); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("a wait at a closed gate: %v", err)
	}
	if err := g.Close(); !errors.Is(err, net.ErrClosed) { // and closes nobody else's descriptor
		t.Fatalf("closed twice: %v", err)
	}
}

// TestGateSaysWhatItCannot: a file that cannot be watched is an error, not a wait for ever.
func TestGateSaysWhatItCannot(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	g, err := NewGate(fd, "file")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Wait(func() bool { return false }); !errors.Is(err, unix.EPERM) {
		t.Fatalf("waiting for a regular file: %v, wanted %v", err, unix.EPERM)
	}
}
