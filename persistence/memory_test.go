// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"testing"

	"ferrite/persistence"
	"ferrite/persistence/storetest"
)

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) persistence.Store {
		return persistence.NewMemory(persistence.MemoryOptions{})
	})
}
