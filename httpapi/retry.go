// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"strconv"

	"ferrite/node"
)

// patience is for how many seconds a request that is refused with 503 shall stay away, by its rank, when nobody waits:
// who commands a machine comes back first, who reads the whole fleet last.
var patience = [...]int{node.RankCommand: 1, node.RankRecord: 2, node.RankBulk: 5}

const (
	doneInASecond   = 1024 // requests of a queue: a modest guess, so that clients that keep to Retry-After find the queue drained
	longestPatience = 60   // seconds
)

// retryAfter is the Retry-After of a refusal behind so many others, in seconds. It depends on nothing else: equal
// requests that meet an equal queue are told the same.
func retryAfter(rank node.Rank, ahead int) int {
	return min(longestPatience, patience[rank]*(1+ahead/doneInASecond))
}

// rank is who goes first; a request that was refused before its route was known is as one for a record.
func (r *request) rank() node.Rank {
	if r.route == nil {
		return node.RankRecord
	}
	return r.route.rank
}

// askBack tells the client in how many seconds to ask again, if that does not break it: python-ironicclient (5.0, the "baremetal"
// CLI) fails with a TypeError on an error that has Retry-After, where it would try a 503 again by itself. Ironic never sends one.
func (r *request) askBack(seconds int) {
	if !bytes.HasPrefix(r.ctx.Request.Header.UserAgent(), []byte("python-ironicclient")) {
		r.header("Retry-After", strconv.Itoa(seconds))
	}
}
