// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"runtime"
	"strings"
	"testing"
)

// dialling names the goroutines that wait for members which are not there.
func dialling() (out []string) {
	b := make([]byte, 8<<20)
	for one := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(one, "persistence.layer.Dial(") {
			name, _, _ := strings.Cut(one, " [")
			out = append(out, name)
		}
	}
	return out
}

// A member that is left alone stands for election again and again: what asks the dead for their votes must end, or a night
// without a quorum would fill the memory.
func TestElectionsWithoutQuorumLeaveNothingBehind(t *testing.T) {
	c := newCrowd(t)
	c1, _, _ := c.three()
	c.leave("c2")
	c.leave("c3")
	c.eventually("c1 leads no more", func() bool { _, _, leads := c1.Role(); return !leads })
	var first []string
	c.eventually("c1 asks for votes", func() bool { first = dialling(); return len(first) > 0 })
	c.eventually("it asks anew instead of waiting", func() bool {
		now := strings.Join(dialling(), "\n") + "\n"
		for _, name := range first {
			if strings.Contains(now, name+"\n") {
				return false
			}
		}
		return true
	})
}
