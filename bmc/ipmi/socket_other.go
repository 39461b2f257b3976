// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(linux && (amd64 || arm64 || riscv64))

package ipmi

// listen opens a socket on any free port, for IPv6 or IPv4.
func listen(six bool, buffer int) (transport, error) { return listenPortable(six, buffer) }
