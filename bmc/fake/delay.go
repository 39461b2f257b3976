// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// span is a delay in whole seconds: exactly low, or random up to high.
type span struct{ low, high int }

// parse reads "N" or "A,B".
func parse(text string) (span, error) {
	if strings.TrimSpace(text) == "" {
		return span{}, nil
	}
	a, b, two := strings.Cut(text, ",")
	low, err := strconv.Atoi(strings.TrimSpace(a))
	high := low
	if err == nil && two {
		high, err = strconv.Atoi(strings.TrimSpace(b))
	}
	if err != nil || low < 0 || high < low {
		return span{}, fmt.Errorf("%q is no delay: wanted seconds such as \"3\", or a range such as \"1,10\"", text)
	}
	return span{low, high}, nil
}

// draw picks a delay for a random number u in [0,1): triangular between low and high with its peak at low.
func (s span) draw(u float64) time.Duration {
	return time.Duration(math.Round(float64(s.high)-math.Sqrt(1-u)*float64(s.high-s.low))) * time.Second
}

// wait takes the interface's delay, or less when the context ends.
func (f *driver) wait(ctx context.Context, kind string) error {
	d := f.delays[kind].draw(rand.Float64()) //nolint:gosec // plays time, no secret
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
