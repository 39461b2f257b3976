// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

// Formats are the newest format versions (L1) that this binary writes and reads, by what has them: the log's entries, the
// records of the state and what is in them, backups, and the words between conductors. Two binaries whose formats are
// alike read each other's data.
func Formats() map[string]int {
	return map[string]int{
		"log": entryVersion, "record": recordVersion, "value": valueVersion, "backup": backupVersion, "peers": portVersion,
	}
}
