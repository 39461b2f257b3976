// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

// queue is a list of n records, linked through them.
type queue struct {
	head, tail *record
	n          int
}

func (q *queue) append(r *record) {
	q.n++
	r.queueNext = nil
	if q.tail == nil {
		q.head = r
	} else {
		q.tail.queueNext = r
	}
	q.tail = r
}

func (q *queue) prepend(r *record) {
	q.n++
	r.queueNext = q.head
	q.head = r
	if q.tail == nil {
		q.tail = r
	}
}

func (q *queue) pop() *record {
	q.n--
	r := q.head
	q.head = r.queueNext
	if q.head == nil {
		q.tail = nil
	}
	r.queueNext = nil
	return r
}

// remove takes a record out, wherever it stands; false = it does not stand here.
func (q *queue) remove(r *record) bool {
	var prev *record
	for x := q.head; x != nil; prev, x = x, x.queueNext {
		if x != r {
			continue
		}
		if prev == nil {
			q.head = x.queueNext
		} else {
			prev.queueNext = x.queueNext
		}
		if q.tail == x {
			q.tail = prev
		}
		q.n--
		x.queueNext = nil
		return true
	}
	return false
}
