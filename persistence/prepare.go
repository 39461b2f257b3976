// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"

	"ferrite/node"
)

// prepare turns a transaction into an entry; what is wrong with it is said before anything reaches the log.
func (c *codec) prepare(tx Tx) (*entry, error) {
	e := &entry{conds: tx.If, dels: tx.Del, prefix: tx.DelPrefix, events: tx.Events}
	changes := len(tx.Put) + len(tx.Del) + len(tx.DelPrefix)
	switch {
	case changes > 0 && len(tx.If) == 0:
		return nil, ErrNoCondition
	case changes+len(tx.If)+len(tx.Events) == 0:
		return nil, errors.New("the transaction is empty")
	case changes+len(tx.If)+len(tx.Events) > maxParts:
		return nil, ErrTooBig
	}
	if err := distinct(tx); err != nil {
		return nil, err
	}
	size := 0
	for _, p := range tx.Put {
		if len(p.Uniq) > 0 && kinds[p.Kind].disk {
			return nil, fmt.Errorf("record %d/%s: a record of this kind cannot hold unique keys", p.Kind, p.ID)
		}
		data, err := c.encode(p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		if size += len(data); size > maxEntry {
			return nil, ErrTooBig
		}
		value, err := c.decode(p.Key, data)
		if err != nil {
			return nil, unreadable(err)
		}
		e.puts = append(e.puts, entryPut{key: p.Key, uniq: p.Uniq, data: data, value: value})
	}
	if e.parts() > maxParts {
		return nil, ErrTooBig
	}
	return e, nil
}

// unreadable refuses what every member would end over when it came to it in the log.
func unreadable(err error) error {
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// remember keeps an entry's decoded values until its outcome is known.
func (r *replica) remember(e *entry, done func(node.Rev, error)) func(node.Rev, error) {
	r.proposed.Store(e.id, e)
	return func(rev node.Rev, err error) {
		r.proposed.Delete(e.id)
		done(rev, err)
	}
}

// read decodes an entry whole before it is proposed, as applying it will.
func (c *codec) read(data []byte) (*entry, error) {
	e, err := decodeEntry(data)
	if err != nil {
		return nil, unreadable(err)
	}
	for i, p := range e.puts {
		if e.puts[i].value, err = c.decode(p.key, p.data); err != nil {
			return nil, unreadable(err)
		}
	}
	return e, nil
}

// distinct refuses a transaction that names a record twice, or one without kind or id.
func distinct(tx Tx) error {
	seen := make(map[Key]bool, len(tx.Put)+len(tx.Del))
	add := func(k Key) error {
		if _, ok := kinds[k.Kind]; !ok || k.ID == "" {
			return fmt.Errorf("record %d/%q: no such kind, or no id", k.Kind, k.ID)
		}
		if len(k.ID) > maxID {
			return fmt.Errorf("record %d/%.40q: its id has %d bytes, wanted %d at most", k.Kind, k.ID, len(k.ID), maxID)
		}
		if seen[k] {
			return fmt.Errorf("record %d/%s: the transaction names it twice", k.Kind, k.ID)
		}
		seen[k] = true
		return nil
	}
	for _, p := range tx.Put {
		if err := add(p.Key); err != nil {
			return err
		}
	}
	for _, k := range tx.Del {
		if err := add(k); err != nil {
			return err
		}
	}
	for _, k := range tx.DelPrefix {
		if _, ok := kinds[k.Kind]; !ok || k.ID == "" {
			return fmt.Errorf("prefix %d/%q: no such kind, or no prefix", k.Kind, k.ID)
		}
	}
	return nil
}
