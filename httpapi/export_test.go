// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

// Credentials is the parser of Authorization headers, for FuzzHeaders: behind it is a slow hash.
var Credentials = credentials
