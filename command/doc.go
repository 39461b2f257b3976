// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package command writes requests to nodes, and their replies, as the bytes that one conductor sends to another.
//
// # Usage
//
// EncodeRequest and DecodeRequest for what is asked, EncodeReply and DecodeReply for the answer. A message has its MsgName
// as its type; every message of packages node and inventory that a client can cause is known here.
//
// # Concurrency
//
// Functions without state.
//
// # Failure
//
// A message of an unknown name is refused by name: conductors of different versions then answer "upgrade", not nonsense.
package command
