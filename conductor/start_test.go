// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ferrite/persistence"
)

// An election in the middle of a start is borne: what was refused or is not known to be written is written in the end. What will not
// pass is told at once.
func TestAStartBearsElections(t *testing.T) {
	self := member{Hostname: "c1", CreatedAt: time.Unix(1, 0)}
	writes := map[string]func(ctx context.Context, s persistence.Store) error{
		"the cluster's id":  func(ctx context.Context, s persistence.Store) error { _, err := identity(ctx, s); return err },
		"the settings":      func(ctx context.Context, s persistence.Store) error { return (&Conductor{store: s}).agree(ctx) },
		"a cursor":          func(ctx context.Context, s persistence.Store) error { return enter(ctx, s, natsCursor, 0) },
		"a cursor's end":    func(ctx context.Context, s persistence.Store) error { return leave(ctx, s, novaCursor) },
		"itself":            func(ctx context.Context, s persistence.Store) error { return register(ctx, s, self) },
		"itself once more":  func(ctx context.Context, s persistence.Store) error { return register(ctx, s, self) },
		"a read of the log": func(ctx context.Context, s persistence.Store) error { _, err := s.ReadIndex(ctx); return err },
	}
	faults := []persistence.Fault{
		{Err: persistence.ErrNoQuorum}, {Err: persistence.ErrUnknown}, {Err: persistence.ErrUnknown, Applied: true},
	}
	for what, write := range writes {
		synctest.Test(t, func(t *testing.T) {
			s := persistence.NewMemory(persistence.MemoryOptions{})
			defer s.Close()
			if err := enter(t.Context(), s, novaCursor, 0); err != nil {
				t.Fatal(err)
			}
			faults := faults
			if what == "itself" || what == "a cursor's end" { // another write came in between
				faults = append([]persistence.Fault{{Err: &persistence.Conflict{}}}, faults...)
			}
			var came atomic.Int64
			s.SetHook(func(persistence.Tx) (f persistence.Fault) {
				if n := int(came.Add(1)); n <= len(faults) {
					f = faults[n-1]
				}
				return f
			})
			s.SetQuorum(false)
			time.AfterFunc(10*time.Second, func() { s.SetQuorum(true) })
			if err := again(t.Context(), func() error { return write(t.Context(), s) }); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if n := int(came.Load()); n < len(faults) && what != "a cursor" && what != "a read of the log" { // these meet no more than the lost quorum
				t.Errorf("%s: only %d of the faults came: this shows nothing", what, n)
			}
			s.SetQuorum(false) // for good
			began := time.Now()
			if err := again(t.Context(), func() error { _, err := s.ReadIndex(t.Context()); return err }); !errors.Is(err, persistence.ErrNoQuorum) || time.Since(began) < startTries {
				t.Errorf("without a quorum it ends with %v after %s", err, time.Since(began))
			}
		})
	}
	tries := 0
	if err := again(t.Context(), func() error { tries++; return persistence.ErrDiskLow }); !errors.Is(err, persistence.ErrDiskLow) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}
