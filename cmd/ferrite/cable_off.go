// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !cuttable

package main

import "ferrite/conductor"

// cable is the network as it is; see cable_on.go.
func cable(string) (conductor.Cable, error) { return nil, nil } //nolint:nilnil // none is needed
