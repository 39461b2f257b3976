// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package redact takes secrets out of text that is given to others.
//
// # Usage
//
//	r := redact.New("hunter2", key)           // what is known to be secret
//	r.Learn(os.Args)                          // and what looks like it in a command line
//	safe := r.Text(log)                       // known secrets, and what stands where secrets stand
//	if s := r.Holds(safe); s { ... }          // never, but look before it is given away
//
// Known secrets are found as they are, escaped for URLs and JSON, in hexadecimal, and inside of base64 at any place. Others
// are found by where they stand: after a word like password or token, in a URL before the @, in a header of a login, between
// the lines of a private key, as the hash of a password, as 32 bytes in base64.
//
// # Concurrency
//
// Text and Holds may be called at once from anywhere, once everything has been learnt.
//
// # Failure
//
// There is none: rather too much is taken out than too little. A secret of fewer than four bytes that is known, and stands
// where secrets do not stand, stays: it would be found in every word.
package redact
