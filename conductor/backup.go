// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"io"
	"log/slog"

	"github.com/google/uuid"

	"ferrite/persistence"
)

// clusterID is the setting that message ids are made from (N2): see identity.
const clusterID = "cluster_id"

// SyncFolder puts the names in a folder on the disk.
func SyncFolder(dir string) error { return syncFolder(dir) }

// Restore makes the data folder of a conductor of that name from a backup (L5). The cluster gets a new id: the message
// ids of what it tells from now on are none of the cluster that the backup was taken of, which may have gone on since.
// The first key seals what is restored; all open the backup.
func Restore(from io.ReadSeeker, dir, name string, keys [][]byte, log *slog.Logger, progress func(round, done, about int)) (*persistence.Restored, error) {
	return persistence.Restore(from, persistence.RestoreConfig{
		Dir: dir, Name: name, Keys: keys, Logger: log, Progress: progress,
		Settings: map[string][]byte{clusterID: []byte(uuid.NewString())},
	})
}
