// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Port is the state of a TCP address that a conductor listens on.
type Port struct {
	Free    bool
	PID     int    // who listens there, 0 = not known
	Command string // its name, "" = not known
	Err     error  // why it can neither be taken nor is taken
}

// String says who holds the port.
func (p Port) String() string {
	switch {
	case p.Err != nil:
		return p.Err.Error()
	case p.Free:
		return "free"
	case p.PID == 0:
		return "held by a process that cannot be seen from here"
	}
	return fmt.Sprintf("held by %s (process %d)", p.Command, p.PID)
}

// Look finds out whether an address is free, and who holds it if not.
func Look(address string) Port {
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
		return Port{Free: true}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return Port{Err: err}
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return Port{Err: err}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return Port{Err: fmt.Errorf("port %q: wanted a number", text)}
	}
	var p Port
	if p.PID = holder(listeners(uint16(port), hostOf(address))); p.PID != 0 {
		p.Command = command(p.PID)
	}
	return p
}

// hostOf is the address without its port; invalid = any.
func hostOf(address string) netip.Addr {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return netip.Addr{}
	}
	host, _ := netip.AddrFromSlice(a.IP)
	return host.Unmap()
}

// command is the name of a process, "" = it is gone or hidden.
func command(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// listeners are the inodes of sockets that listen on a port, on this address or on all.
func listeners(port uint16, host netip.Addr) []string {
	var out []string
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(file) //nolint:gosec // of the kernel
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if at, inode, ok := listening(s.Text()); ok && at.Port() == port &&
				(!host.IsValid() || host.IsUnspecified() || at.Addr().IsUnspecified() || at.Addr() == host) {
				out = append(out, inode)
			}
		}
		_ = f.Close()
	}
	return out
}

// listening reads a line of /proc/net/tcp: "0: 0100007F:1F90 00000000:0000 0A ... inode".
func listening(line string) (at netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return at, "", false
	}
	host, text, _ := strings.Cut(f[1], ":")
	b, err := hex.DecodeString(host)
	port, perr := strconv.ParseUint(text, 16, 16)
	if err != nil || perr != nil || len(b)%4 != 0 {
		return at, "", false
	}
	for i := 0; i < len(b); i += 4 { // words in the order of this machine, which is little-endian where we run
		slices.Reverse(b[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), f[9], ok
}

// holder is the process that has one of these sockets open, 0 = none that we may see.
func holder(inodes []string) int {
	if len(inodes) == 0 {
		return 0
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(link, "socket:[")
		if ok && slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			pid, _ := strconv.Atoi(strings.Split(fd, "/")[2])
			return pid
		}
	}
	return 0
}

// Holder is the process that has locked a data folder, 0 = none: the id in its LOCK, if the kernel knows of that lock.
func Holder(dir string) int {
	file := filepath.Join(dir, "LOCK")
	b, err := os.ReadFile(file) //nolint:gosec // the operator names the folder
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return 0
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for line := range strings.Lines(string(locks)) { // "1: FLOCK  ADVISORY  WRITE 123 08:01:4711 0 EOF"
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			return pid
		}
	}
	return 0
}
