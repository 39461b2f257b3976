// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package actors

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

// LatencyBounds are the upper bounds of BMC request times, in seconds.
var LatencyBounds = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60}

// Codes of a BMC request, for metrics.
const (
	codeOK = iota
	codeFailed
	codeAuth
	codeUnknown
	codes
)

// codeNames are the words of a metric.
var codeNames = [codes]string{"ok", "failed", "auth", "unknown"}

// opNames are the requests that are timed, by the word of their metric.
var opNames = [...]string{"power status", "power on", "power off", "soft off", "reset", "nmi", "boot device", "other"}

// histogram counts request times without locks or allocations: it stands on the sweep's path (P1).
type histogram struct {
	buckets [len(LatencyBounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	s := d.Seconds()
	i := 0
	for i < len(LatencyBounds) && s > LatencyBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// latencies are the times of one vendor's requests by operation and code.
type latencies struct {
	by [len(opNames)][codes]histogram
}

func (l *latencies) observe(op int, err error, d time.Duration) { l.by[op][codeOf(err)].observe(d) }

// codeOf sorts an outcome.
func codeOf(err error) int {
	if err == nil { // before anything that would reach the heap
		return codeOK
	}
	var b *bmc.Error
	switch {
	case errors.As(err, &b) && b.Auth:
		return codeAuth
	case errors.As(err, &b) && b.Unknown:
		return codeUnknown
	default:
		return codeFailed
	}
}

// opOf is the metric's index of an action.
func opOf(a bmc.Action) int {
	switch a {
	case bmc.On:
		return 1
	case bmc.Off:
		return 2
	case bmc.SoftOff:
		return 3
	case bmc.Reset:
		return 4
	case bmc.NMI:
		return 5
	default:
		return len(opNames) - 1
	}
}

const (
	opStatus = 0
	opBoot   = 6
	opOther  = len(opNames) - 1
)

// Latency is one histogram of BMC request times.
type Latency struct {
	Vendor, Op, Code string
	Count            uint64
	Sum              float64  // seconds
	Buckets          []uint64 // cumulative, by LatencyBounds
}

// Latencies reads the histograms that have counted anything.
func (f *Fleet) Latencies() []Latency {
	f.times.mu.RLock()
	defer f.times.mu.RUnlock()
	var out []Latency
	for vendor, times := range f.times.by {
		out = times.read(vendor, out)
	}
	return out
}

func (l *latencies) read(vendor string, out []Latency) []Latency {
	for op := range opNames {
		for code := range codes {
			h := &l.by[op][code]
			x := Latency{Vendor: vendor, Op: opNames[op], Code: codeNames[code], Sum: time.Duration(h.nanos.Load()).Seconds()}
			for i := range LatencyBounds {
				x.Count += h.buckets[i].Load()
				x.Buckets = append(x.Buckets, x.Count)
			}
			if x.Count += h.buckets[len(LatencyBounds)].Load(); x.Count > 0 {
				out = append(out, x)
			}
		}
	}
	return out
}

// vendors are the request times by vendor of the machine. Vendors are words that users write, so there are not many.
type vendors struct {
	mu sync.RWMutex // guards by
	by map[string]*latencies
}

const (
	mostVendors   = 24
	longestVendor = 32 // bytes
)

// of is where a node's requests are counted.
func (v *vendors) of(n *node.Node) *latencies {
	name, _ := n.Properties["vendor"].(string)
	if name = strings.ToLower(strings.TrimSpace(name)); name == "" || len(name) > longestVendor {
		name = "unknown"
	}
	v.mu.RLock()
	t := v.by[name]
	v.mu.RUnlock()
	if t != nil {
		return t
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.by == nil {
		v.by = map[string]*latencies{}
	}
	if v.by[name] == nil && len(v.by) >= mostVendors {
		name = "other"
	}
	if v.by[name] == nil {
		v.by[name] = &latencies{}
	}
	return v.by[name]
}

// Breakers count the nodes of the power sync by how their BMC does: "closed" answers, "failing" has retries left, "open"
// is given up (fault "power failure") and tried less often.
func (s *Sweep) Breakers() map[string]int {
	out := map[string]int{"closed": 0, "failing": 0, "open": 0}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.all {
		switch mode := e.mode.Load(); {
		case mode == modeRecover:
			out["open"]++
		case mode == modeSync && e.missed.Load() > 0:
			out["failing"]++
		case mode == modeSync:
			out["closed"]++
		}
	}
	return out
}
