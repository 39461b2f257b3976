// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package jsontext appends strings to JSON that is written by hand, because encoding/json would allocate on a hot path.
//
// # Usage
//
//	b = jsontext.Append(b, name)
//
// # Concurrency
//
// Functions only.
//
// # Failure
//
// None: bytes that are not UTF-8 become U+FFFD, as encoding/json has it.
package jsontext
