// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Conflict says that a condition did not hold: the record moved on. Cur is the record as it is; Cur.Rev 0 = absent.
type Conflict struct{ Cur Record }

func (c *Conflict) Error() string {
	return fmt.Sprintf("record %d/%s changed meanwhile: it is at revision %d", c.Cur.Kind, c.Cur.ID, c.Cur.Rev)
}

// NotUnique says that another record holds a unique key. The API answers 409.
type NotUnique struct {
	Uniq   string // "name/rack1"
	Holder Key
}

func (e *NotUnique) Error() string {
	return fmt.Sprintf("%q is taken by record %d/%s", e.Uniq, e.Holder.Kind, e.Holder.ID)
}

// Errors of the store.
var (
	ErrNoQuorum    = errors.New("no quorum of the log: nothing can be written now, try again")
	ErrUnknown     = errors.New("the outcome of the write is not known: read the record before trying again")
	ErrDiskLow     = errors.New("the disk is nearly full: writes are refused until there is room")
	ErrNoCondition = errors.New("a transaction that changes records needs at least one condition (L2)")
	ErrUnreadable  = errors.New("the transaction holds what could not be read back from the log")
	ErrTooBig      = errors.New("the transaction is larger than 512 KB or has more than 1024 parts")
	ErrCompacted   = errors.New("the log no longer reaches back that far: read everything and watch anew")
	ErrClosed      = errors.New("the store is closed")
)

// cannotOpen words why a part of the data folder cannot be opened: what the system lacks is no damage.
func cannotOpen(what, dir string, err error) error {
	var damage *Damage
	var other *stranger
	if errors.As(err, &damage) || errors.As(err, &other) {
		return err // it says all
	}
	advice := remedy(err)
	if advice == "" {
		advice = "it may be damaged: restore a backup, or keep a copy and ask"
	}
	return fmt.Errorf("the %s in %s cannot be opened (%s): %w", what, dir, advice, err)
}

// remedy says what helps against an error of the system; "" = not known.
func remedy(err error) string {
	for _, l := range lacks {
		if errors.Is(err, l.errno) || strings.Contains(err.Error(), l.errno.Error()) { // badger passes texts on
			return l.advice
		}
	}
	return ""
}

// lacks are the errors of the system that are no damage, with what helps.
var lacks = []struct {
	errno  syscall.Errno
	advice string
}{
	{syscall.ENOSPC, "its disk is full: make room"},
	{syscall.EDQUOT, "its disk is full: make room"},
	{syscall.EMFILE, "the process may not open enough files: raise the limit (ulimit -n, LimitNOFILE)"},
	{syscall.ENFILE, "the process may not open enough files: raise the limit (ulimit -n, LimitNOFILE)"},
	{syscall.EACCES, "this user may not: look at owner and mode"},
	{syscall.EPERM, "this user may not: look at owner, mode and attributes (lsattr)"},
	{syscall.EROFS, "its disk is mounted read-only: choose another --data-dir"},
	{syscall.EIO, "its disk fails: look at the system's log"},
}
