// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that every server has ended with all of its goroutines.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // fasthttp's cleaner sleeps up to 10 s before it sees that its server has ended
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")) // one a process, for good
}
