// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// badgerKV is the storage of Raft. Each commit is durable when it returns.
type badgerKV struct{ db *badger.DB }

// openBadger opens the database with settings for little memory: 4 MB tables in memory, values from 1 KB on in 32 MB
// value logs. A transaction may then hold 15 % of 4 MB; fullTx and the limits of an entry stay within it.
func openBadger(dir string, log *slog.Logger) (*badgerKV, error) {
	o := badger.DefaultOptions(dir)
	o.SyncWrites = true
	o.MemTableSize = 4 << 20
	o.BaseTableSize = 2 << 20
	o.ValueThreshold = inline
	o.ValueLogFileSize = 32 << 20
	o.BlockCacheSize = 8 << 20
	o.NumCompactors = 2
	o.NumVersionsToKeep = 1
	o.DetectConflicts = false
	o.MetricsEnabled = false
	o.VerifyValueChecksum = true
	o.Logger = badgerLog{log}
	if err := checkState(dir, o, log); err != nil {
		return nil, cannotOpen("state", dir, err)
	}
	db, err := badger.Open(o)
	if err != nil {
		return nil, cannotOpen("state", dir, err)
	}
	return &badgerKV{db: db}, nil
}

func (b *badgerKV) close() error { return b.db.Close() }

// tidy gives the space of overwritten values back; the time that it takes is that of one value log.
func (b *badgerKV) tidy() error {
	err := b.db.RunValueLogGC(0.5)
	if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
		return nil
	}
	return err
}

func (b *badgerKV) view() kvView { return badgerView{b.db.NewTransaction(false)} }

type badgerView struct{ txn *badger.Txn }

func (v badgerView) close() { v.txn.Discard() }

func (v badgerView) get(key []byte) ([]byte, error) { return badgerGet(v.txn, key) }

func badgerGet(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

func (v badgerView) scan(prefix, from []byte, fn func([]byte, func() ([]byte, error)) (bool, error)) error {
	it := v.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	if from == nil {
		from = prefix
	}
	var buf []byte
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		more, err := fn(item.Key(), func() ([]byte, error) {
			var err error
			buf, err = item.ValueCopy(buf)
			return buf, err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (b *badgerKV) begin() kvTx { return &badgerTx{txn: b.db.NewTransaction(true)} }

type badgerTx struct {
	txn   *badger.Txn
	taken int
}

// Values of inline bytes and more lie in the value log. badger bounds a transaction by bytes and by keys; keyCost makes
// one figure of both.
const (
	inline  = 1 << 10
	keyCost = 96
)

func (t *badgerTx) get(key []byte) ([]byte, error) { return badgerGet(t.txn, key) }

func (t *badgerTx) keys(prefix []byte, fn func(key []byte)) error {
	it := t.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		fn(it.Item().Key())
	}
	return nil
}

// cost is what a key with its value takes of a transaction.
func cost(key, value []byte) int {
	if len(value) < inline {
		return keyCost + len(key) + len(value)
	}
	return keyCost + len(key)
}

func (t *badgerTx) set(key, value []byte) error {
	t.taken += cost(key, value)
	return t.txn.Set(key, value)
}

func (t *badgerTx) del(key []byte) error {
	t.taken += cost(key, nil)
	return t.txn.Delete(key)
}

func (t *badgerTx) size() int     { return t.taken }
func (t *badgerTx) commit() error { return t.txn.Commit() }
func (t *badgerTx) discard()      { t.txn.Discard() }

// badgerLog brings badger's words to slog; its information is our debug.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) say(level func(string, ...any), format string, args []any) {
	level("badger", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l badgerLog) Errorf(f string, a ...any) { l.say(l.log.Error, f, a) }
func (l badgerLog) Warningf(f string, a ...any) {
	if strings.HasPrefix(f, "%s might be too small") || strings.HasPrefix(f, "Cache life expectancy") { // as it was chosen
		l.say(l.log.Debug, f, a)
		return
	}
	l.say(l.log.Warn, f, a)
}
func (l badgerLog) Infof(f string, a ...any) { l.say(l.log.Debug, f, a) }
func (l badgerLog) Debugf(string, ...any)    {}
