// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import "fmt"

// Status is how grave a finding is.
type Status string

// Statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // it works; it will hurt
	Fail Status = "fail" // it does not work, or is not safe
)

// Finding is one thing that was looked at.
type Finding struct {
	Area   string `json:"area" yaml:"area"`
	Check  string `json:"check" yaml:"check"`
	Status Status `json:"status" yaml:"status"`
	Found  string `json:"found" yaml:"found"`
	Wanted string `json:"wanted,omitempty" yaml:"wanted,omitempty"`
	Do     string `json:"do,omitempty" yaml:"do,omitempty"` // what helps; "" when all is well
}

// Area makes findings of one area.
type Area string

// OK is a finding that all is well.
func (a Area) OK(check, found string, args ...any) Finding {
	return Finding{Area: string(a), Check: check, Status: OK, Found: fmt.Sprintf(found, args...)}
}

// Warn is a finding that will hurt.
func (a Area) Warn(check, found, wanted, do string) Finding {
	return Finding{string(a), check, Warn, found, wanted, do}
}

// Fail is a finding of something that does not work, or is not safe.
func (a Area) Fail(check, found, wanted, do string) Finding {
	return Finding{string(a), check, Fail, found, wanted, do}
}

// Count is how many findings there are of each status.
type Count struct {
	OK   int `json:"ok" yaml:"ok"`
	Warn int `json:"warn" yaml:"warn"`
	Fail int `json:"fail" yaml:"fail"`
}

// Counted counts findings.
func Counted(all []Finding) Count {
	var c Count
	for _, f := range all {
		switch f.Status {
		case OK:
			c.OK++
		case Warn:
			c.Warn++
		case Fail:
			c.Fail++
		}
	}
	return c
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for ; f >= unit && i < 4; i++ {
		f /= unit
	}
	return fmt.Sprintf("%.3g %cB", f, "KMGTP"[i])
}
