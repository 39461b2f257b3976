// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"time"

	"ferrite/internal/udpbatch"
)

// Fault is a way in which a BMC is not as it should be; "" = it is healthy.
type Fault string

// Faults, each seen in the field. Fault.Does tells what they do.
const (
	Slow        Fault = "slow"
	Lossy       Fault = "lossy"
	Duplicate   Fault = "duplicate"
	Late        Fault = "late"
	Reordered   Fault = "reordered"
	Full        Fault = "full"
	Lockout     Fault = "lockout"
	Padding     Fault = "padding" // IPMI 13.29 wants 1
	Garbage     Fault = "garbage"
	Truncated   Fault = "truncated"
	SoftOffLag  Fault = "soft-off-lag"
	ForgetsBoot Fault = "forgets-boot"

	// BMCs that open sessions in a way of their own, as FreeIPMI's workarounds of these names describe them.
	Supermicro20 Fault = "supermicro20"
	Sun20        Fault = "sun20"
	Intel20      Fault = "intel20"
)

// faults says in a few words what a BMC does; docs/BMCS.md says it to users, and what comes of it.
var faults = []struct {
	name Fault
	does string
}{
	{Slow, "answers after 1 to 3 s"},
	{Lossy, "loses 30 % of the datagrams, each way"},
	{Duplicate, "sends every reply twice"},
	{Late, "sends every reply once more 2 s later"},
	{Reordered, "holds every other reply back for up to 100 ms, so that the next one passes it"},
	{Full, "has no free session slot"},
	{Lockout, "refuses all logins for a minute after three wrong names or passwords"},
	{Padding, "counts the bytes of the confidentiality pad from 0 instead of 1"},
	{Garbage, "answers with random bytes every other time"},
	{Truncated, "cuts every other reply short"},
	{SoftOffLag, "says for 3 s after soft off that the machine is on"},
	{ForgetsBoot, "takes boot flags and forgets them"},
	{Supermicro20, "sends a byte too much behind the code of RAKP 2"},
	{Sun20, "the same, and hashes with the privilege level of the Open Session Request"},
	{Intel20, "hashes with that level, and wants user names filled up to 16 bytes"},
}

// Faults lists them all.
func Faults() []Fault {
	out := make([]Fault, len(faults))
	for i, f := range faults {
		out[i] = f.name
	}
	return out
}

// Does says in a few words what a BMC with the fault does, "" = there is no such fault.
func (f Fault) Does() string {
	for _, x := range faults {
		if x.name == f {
			return x.does
		}
	}
	return ""
}

// Bounds of faults.
const (
	slowLeast    = time.Second
	slowSpread   = 2 * time.Second
	lossyShare   = 0.3
	lateAfter    = 2 * time.Second
	heldBack     = 100 * time.Millisecond
	lockoutAfter = 3
	lockoutTime  = time.Minute
	softOffLag   = 3 * time.Second
)

// valid says what is wrong with a fault's name.
func (f Fault) valid() error {
	if f == "" || f.Does() != "" {
		return nil
	}
	var all []string
	for _, x := range Faults() {
		all = append(all, string(x))
	}
	return fmt.Errorf("fault is %q: wanted one of %s, or \"\"", f, strings.Join(all, ", "))
}

// checkFaults says what is wrong with shares of faulty BMCs.
func checkFaults(shares map[Fault]float64) error {
	sum := 0.0
	for f, share := range shares {
		if f == "" {
			return fmt.Errorf("a share of faulty BMCs has no fault: wanted one like %s", Slow)
		}
		if err := f.valid(); err != nil {
			return err
		}
		if share < 0 || share > 1 {
			return fmt.Errorf("share of fault %s is %v: wanted 0 to 1", f, share)
		}
		sum += share
	}
	if sum > 1 {
		return fmt.Errorf("the shares of all faults are %v together: wanted 1 at most, a BMC has one fault", sum)
	}
	return nil
}

// spread gives the faults to BMCs, which ones is fixed by the seed.
func (f *Fleet) spread(shares map[Fault]float64, seed int64) {
	order := rand.New(rand.NewSource(seed + 1)).Perm(len(f.bmcs)) //nolint:gosec // simulation
	for _, fault := range slices.Sorted(maps.Keys(shares)) {
		n := min(int(shares[fault]*float64(len(f.bmcs))+0.5), len(order))
		for _, i := range order[:n] {
			f.bmcs[i].fault = fault
		}
		order = order[n:]
	}
}

// SetFault makes the BMC faulty, or healthy by "". An unknown fault changes nothing.
func (b *BMC) SetFault(f Fault) error {
	if err := f.valid(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault, b.badLogins, b.lockedTill = f, 0, time.Time{}
	return nil
}

// spoil does to a reply what its BMC's fault does; delay is when it goes out, send = whether.
func (f *Fleet) spoil(fault Fault, out *udpbatch.Msg, delay time.Duration) (_ time.Duration, send bool) {
	half := f.rnd.Float64() < 0.5
	switch fault {
	case Slow:
		delay += slowLeast + time.Duration(f.rnd.Int63n(int64(slowSpread)))
	case Lossy:
		return delay, f.rnd.Float64() >= lossyShare
	case Duplicate:
		f.late.add(time.Now().Add(delay), out)
	case Late:
		f.late.add(time.Now().Add(delay+lateAfter), out)
	case Reordered:
		if half {
			delay += time.Duration(f.rnd.Int63n(int64(heldBack)))
		}
	case Garbage:
		if half {
			b := out.Buf()
			n := 1 + f.rnd.Intn(len(b))
			f.rnd.Read(b[:n])
			if f.rnd.Intn(2) == 0 { // some of it begins as a reply does
				copy(b[:min(n, plusLen)], []byte{6, 0, 0xff, 7, rmcpPlus, flagEncrypted | flagAuthenticated | payloadIPMI})
			}
			out.Len(n)
		}
	case Truncated:
		if half {
			out.Len(1 + f.rnd.Intn(len(out.Data())))
		}
	default: // they show in what is answered, not in how
	}
	return delay, true
}

// badLogin counts a wrong name or password.
func (b *BMC) badLogin() {
	b.f.stats.auth.Add(1)
	b.badLogins++
	if b.fault == Lockout && b.badLogins >= lockoutAfter {
		b.lockedTill = time.Now().Add(lockoutTime)
	}
}

func (b *BMC) lockedOut() bool { return b.fault == Lockout && time.Now().Before(b.lockedTill) }

// seemsOn is what Get Chassis Status says.
func (b *BMC) seemsOn() bool { return b.power || time.Now().Before(b.onTill) }
