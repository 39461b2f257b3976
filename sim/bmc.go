// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// BMC is one simulated BMC. Its methods may be called from anywhere.
type BMC struct {
	f     *Fleet
	index int

	mu         sync.Mutex // guards below
	power      bool
	dead       bool
	refuse     bool // chassis control answers 0xD6 and does nothing
	fault      Fault
	badLogins  int            // in a row
	lockedTill time.Time      // fault Lockout
	onTill     time.Time      // fault SoftOffLag: until then it says that it is on
	secret     string         // password, "" = Config.Password
	mute       bool           // chassis control and boot options are carried out, but never answered
	latency    *time.Duration // instead of the fleet's
	boot       boot
	sessions   []*session
	polls      uint64
	logged     []Command // ring
	logAt      int
	lastID     uint32
	sdr        *repository // nil = standard
	sdrVersion byte        // in the time of the last change
	sel        [][16]byte
	lastEvent  uint16
	reserve    uint16    // newest reservation of the SDR repository and the SEL
	lightTill  time.Time // Chassis Identify
	lightOn    bool      // until it is switched off
}

// boot is the system boot options that matter (IPMI 28.13): parameter 5 and what keeps it.
type boot struct {
	data  [5]byte
	set   time.Time
	keep  bool // parameter 3: do not clear the flags after 60 s
	inUse byte // parameter 0
}

// keepFlags is how long boot flags live without parameter 3.
const keepFlags = 60 * time.Second

const ringSize = 64

// Command is one command that a BMC has executed. Polls (Get Chassis Status) are only counted.
type Command struct {
	Time       time.Time
	Source     netip.AddrPort
	Session    uint32
	NetFn, Cmd byte
	Name       string
	Data       []byte
	Completion byte
}

// Power tells whether the machine is on.
func (b *BMC) Power() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.power }

// SetPower switches the machine behind everybody's back: a pulled plug, a pressed button.
func (b *BMC) SetPower(on bool) { b.mu.Lock(); defer b.mu.Unlock(); b.power = on }

// SetDead makes the BMC deaf, or well again. A deaf one forgets its sessions.
func (b *BMC) SetDead(dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = dead
	if dead {
		b.sessions = nil
	}
}

// SetLatency sets how long replies take, instead of the fleet's.
func (b *BMC) SetLatency(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.latency = &d }

// SetRefusePower makes chassis control fail.
func (b *BMC) SetRefusePower(refuse bool) { b.mu.Lock(); defer b.mu.Unlock(); b.refuse = refuse }

// SetPassword changes the password; open sessions stay.
func (b *BMC) SetPassword(p string) { b.mu.Lock(); defer b.mu.Unlock(); b.secret = p }

func (b *BMC) password() []byte {
	if b.secret != "" {
		return []byte(b.secret)
	}
	return []byte(b.f.cfg.Password)
}

// SetLoseReplies makes the BMC carry out chassis control and boot options without answering them, as when the reply is
// lost or the asker has died.
func (b *BMC) SetLoseReplies(lose bool) { b.mu.Lock(); defer b.mu.Unlock(); b.mute = lose }

// Sessions counts the live sessions.
func (b *BMC) Sessions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, s := range b.sessions {
		if s.active && time.Since(s.last) < sessionIdle {
			n++
		}
	}
	return n
}

// Polls counts Get Chassis Status.
func (b *BMC) Polls() uint64 { b.mu.Lock(); defer b.mu.Unlock(); return b.polls }

// Commands are the last commands that were executed, oldest first.
func (b *BMC) Commands() []Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.logged) < ringSize {
		return append([]Command(nil), b.logged...)
	}
	return append(append([]Command(nil), b.logged[b.logAt:]...), b.logged[:b.logAt]...)
}

// BootDevice is what the machine boots from next, "" = its own order.
func (b *BMC) BootDevice() (device string, persistent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.flags()
	if d[0]&0x80 == 0 {
		return "", false
	}
	return bootNames[d[1]>>2&0xf], d[0]&0x40 != 0
}

var bootNames = map[byte]string{1: "pxe", 2: "disk", 3: "safe", 5: "cdrom", 6: "bios", 9: "disk"}

// flags are the boot flags as they are now: cleared after 60 s unless told not to.
func (b *BMC) flags() [5]byte {
	if !b.boot.keep && !b.boot.set.IsZero() && time.Since(b.boot.set) > keepFlags {
		b.boot.data[0] &^= 0x80
	}
	return b.boot.data
}

func (b *BMC) log(c Command) {
	if len(b.logged) < ringSize {
		b.logged = append(b.logged, c)
		return
	}
	b.logged[b.logAt] = c
	b.logAt = (b.logAt + 1) % ringSize
}

// switchPower changes the machine's power; boot flags for one time are used up when it comes on.
func (b *BMC) switchPower(on bool) {
	if on && !b.power {
		b.useUp()
	}
	b.power = on
}

// useUp is the machine's boot: it takes flags that are for one time.
func (b *BMC) useUp() {
	if d := b.flags(); d[0]&0x80 != 0 && d[0]&0x40 == 0 {
		b.boot = boot{}
	}
}

var controlNames = []string{"power off", "power on", "power cycle", "reset", "nmi", "soft off"}

func commandName(netfn, cmd byte, data []byte) string {
	switch {
	case netfn == 0 && cmd == 2 && len(data) > 0 && int(data[0]) < len(controlNames):
		return "chassis control: " + controlNames[data[0]]
	case netfn == 0 && cmd == 8 && len(data) > 0:
		return fmt.Sprintf("set boot option %d", data[0]&0x7f)
	}
	if n, ok := names[[2]byte{netfn, cmd}]; ok {
		return n
	}
	return fmt.Sprintf("netfn 0x%02x command 0x%02x", netfn, cmd)
}

var names = map[[2]byte]string{
	{0, 1}: "get chassis status", {0, 2}: "chassis control", {0, 8}: "set boot option", {0, 4}: "chassis identify", {0, 9}: "get boot options", {6, 1}: "get device id",
	{6, 2}: "cold reset", {6, 3}: "warm reset", {6, 4}: "get self test", {6, 0x37}: "get system guid", {6, 8}: "get device guid",
	{6, 0x38}: "get channel authentication capabilities", {6, 0x3b}: "set session privilege level", {6, 0x3c}: "close session",
	{6, 0x3d}: "get session info", {6, 0x54}: "get channel cipher suites", {0xa, 0x20}: "get sdr repository info", {0xa, 0x40}: "get sel info",
	{0xa, 0x22}: "reserve sdr repository", {0xa, 0x23}: "get sdr", {0xa, 0x42}: "reserve sel", {0xa, 0x43}: "get sel entry", {0xa, 0x47}: "clear sel",
	{0xa, 0x48}: "get sel time", {4, 0x23}: "get sensor reading factors", {4, 0x25}: "get sensor hysteresis", {4, 0x27}: "get sensor thresholds", {4, 0x2d}: "get sensor reading",
}
