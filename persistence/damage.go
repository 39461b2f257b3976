// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Damage says that a file of the data folder is not what was written, so that nothing can be started upon it.
type Damage struct {
	File  string // its path
	Found string // what is there, and what was wanted
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%s is damaged: %s. Keep the folder as it is, and restore the newest backup into another one "+
		"(docs/BACKUP.md); where other conductors hold the same log, start this one with an empty folder instead. "+
		"\"ferrite verify\" tells what else is damaged", d.File, d.Found)
}

// plain words an error without the advice of a start.
func plain(err error) string {
	if d := (*Damage)(nil); errors.As(err, &d) {
		return d.File + " is damaged: " + d.Found
	}
	return err.Error()
}

// stranger is a file that bears the name of one of ours without being one.
type stranger struct{ file, like string }

func (s *stranger) Error() string {
	return fmt.Sprintf("%s is none of the files of this folder, whose names are like %s: move it elsewhere", s.file, s.like)
}

func damaged(file, format string, args ...any) error {
	return &Damage{File: file, Found: fmt.Sprintf(format, args...)}
}

// sheltered runs what reads a file through a library that answers damage by a panic or by a fault of a mapped page.
func sheltered(file string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(damaged(file, "it cannot be read: %v", p), err)
		}
	}()
	return fn()
}
