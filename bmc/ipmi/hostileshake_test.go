// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// shakes are ways to get a handshake wrong. The commands afterwards, if it comes to that, are answered by the lie.
func badShakes() map[string]func(h *hostile, kind byte, p []byte) []byte {
	out := map[string]func(*hostile, byte, []byte) []byte{}
	for _, kind := range []byte{payloadOpenResponse, payloadRAKP2, payloadRAKP4} {
		only := func(name string, change func(h *hostile, p []byte) []byte) {
			out[fmt.Sprintf("%s in payload type 0x%02x", name, kind)] = func(h *hostile, k byte, p []byte) []byte {
				if k != kind {
					return p
				}
				return change(h, p)
			}
		}
		for _, n := range []int{0, 1, 2, 7, 8, 11, 12, 23} {
			only(fmt.Sprintf("%d bytes", n), func(_ *hostile, p []byte) []byte { return p[:min(n, len(p)-1)] })
		}
		only("one byte too few", func(_ *hostile, p []byte) []byte { return p[:len(p)-1] })
		only("too many bytes", func(_ *hostile, p []byte) []byte { return append(p, make([]byte, 2000)...) })
		only("garbage", func(h *hostile, p []byte) []byte {
			for i := range p {
				p[i] = byte(h.rng.Uint32())
			}
			return p
		})
		only("garbage behind tag, status and id", func(h *hostile, p []byte) []byte {
			for i := 8; i < len(p); i++ {
				p[i] = byte(h.rng.Uint32())
			}
			return p
		})
		only("a foreign tag", func(_ *hostile, p []byte) []byte { p[0]++; return p })
		only("a foreign session", func(_ *hostile, p []byte) []byte { p[7] ^= 0x40; return p })
		for status := 1; status < 256; status += 1 + status/20 {
			only(fmt.Sprintf("status 0x%02x", status), func(_ *hostile, p []byte) []byte { p[1] = byte(status); return p[:8] })
		}
		if kind != payloadOpenResponse {
			only("a code of zeroes", func(_ *hostile, p []byte) []byte { clear(p[len(p)-12:]); return p })
		}
	}
	alone := func(change func([]byte)) func(*hostile, byte, []byte) []byte {
		return func(_ *hostile, kind byte, p []byte) []byte {
			if kind == payloadOpenResponse {
				p = bytes.Clone(p)
				change(p)
			}
			return p
		}
	}
	// What the open session says is refused before the login is shown.
	out["chosen: no authentication"] = alone(func(p []byte) { p[16] = 0 })
	out["chosen: no integrity"] = alone(func(p []byte) { p[24] = 0 })
	out["chosen: no encryption"] = alone(func(p []byte) { p[32] = 0 })
	out["chosen: session id 0"] = alone(func(p []byte) { clear(p[8:12]) })
	return out
}

// A handshake that is not as it should be opens no session, is not tried more often than it should be, and costs the
// others nothing.
func TestHostileHandshake(t *testing.T) {
	for name, shake := range badShakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(func(h *hostile, q seen) []forged { return each(seal(h.s, lie(q))) })
			h.shake = shake
			good, liar, b := sweeps(t, h)
			for i, n := range good {
				if n != rounds {
					t.Errorf("healthy BMC %d was read %d times: wanted %d", i, n, rounds)
				}
			}
			if liar.on+liar.off+liar.other > 0 || len(liar.errs) == 0 {
				t.Errorf("states %d, %d and %d were believed, %d errors: wanted errors alone", liar.on, liar.off, liar.other, len(liar.errs))
			}
			if n := b.sh.stats.sessions.Load(); n != healthy {
				t.Errorf("%d sessions: wanted those of the %d healthy BMCs", n, healthy)
			}
			// 17, then 3, then once more: three handshakes a poll are the most there is reason for.
			if n := b.sh.stats.handshakes.Load(); n > 3*rounds {
				t.Errorf("%d handshakes in %d polls", n, rounds)
			}
			if strings.HasPrefix(name, "chosen: ") && h.nonce != nil {
				t.Error("RAKP 1 was sent all the same")
			}
			if b.sh.inflight != 0 || b.sh.wheel.armed != 0 || len(b.sh.shaking) != 0 {
				t.Errorf("%d in flight, %d timers, %d handshakes in the end: wanted none", b.sh.inflight, b.sh.wheel.armed, len(b.sh.shaking))
			}
		})
	}
}
