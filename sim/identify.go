// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import "time"

// identify is Chassis Identify (IPMI 28.5): the light is on for 15 s, for as long as is said, or until it is put out.
func (b *BMC) identify(s *session, d []byte) byte {
	switch {
	case s.priv < privOperator:
		return ccPrivilege
	case len(d) > 2:
		return ccLength
	}
	span := 15 * time.Second
	if len(d) > 0 {
		span = time.Duration(d[0]) * time.Second
	}
	b.lightOn = len(d) > 1 && d[1]&1 == 1
	b.lightTill = time.Now().Add(span)
	return ok
}

// Light tells whether the machine's identify light is on.
func (b *BMC) Light() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lightOn || time.Now().Before(b.lightTill)
}
