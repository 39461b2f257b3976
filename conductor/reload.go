// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package conductor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"ferrite/actors"
	"ferrite/node"
	"ferrite/notify"
	"ferrite/persistence"
)

// Reload takes of a new configuration what may change while the conductor runs: notifications, the power sync and the
// rules of operations, the limits of the API, and the cluster keys in their file. The rest of it is passed over. On an error all
// that was stays in force.
func (c *Conductor) Reload(next Config) error {
	e := &notify.Encoder{Host: c.cfg.Name, Level: next.NotificationLevel, Format: next.NotificationFormat, Topics: next.Topics}
	if err := e.Check(); err != nil {
		return err
	}
	if err := c.reloadKeys(); err != nil {
		return err
	}
	if s := c.front.Load(); s != nil {
		if err := s.Update(next.APILimits, next.MaxLimit); err != nil {
			return err
		}
	}
	c.telling.inner.Store(e)
	c.fleet.Update(actors.Settings{
		SyncInterval: next.SyncInterval, RecoveryEvery: next.RecoveryEvery, LockRetry: next.LockRetry, MaxWaiting: next.MaxWaiting,
		SubnetTopic: next.subnetTopic(), Policy: next.Policy,
	})
	return nil
}

// liveEncoder is an encoder that can be exchanged between two notices.
type liveEncoder struct {
	inner atomic.Pointer[notify.Encoder]
}

// Encode asks the encoder of now.
func (l *liveEncoder) Encode(n node.Notice) ([]notify.Message, error) {
	return l.inner.Load().Encode(n)
}

// Alive reports whether this conductor does its work: a write of the log comes to an end and the API answers, both before
// ctx ends. A write that is refused (a full disk: reads go on) has come to an end; one that hangs has not.
func (c *Conductor) Alive(ctx context.Context) error {
	key := persistence.Key{Kind: persistence.KindSetting, ID: "alive/" + c.cfg.Name}
	was, _ := c.store.Get(key)
	_, err := c.store.Commit(ctx, persistence.Tx{
		If: []persistence.Cond{{Key: key, Rev: was.Rev}}, Put: []persistence.Put{{Key: key, Value: []byte(time.Now().UTC().Format(time.RFC3339))}},
	})
	if err != nil && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)) {
		return fmt.Errorf("the log takes no write: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.apiURL+"/healthz", nil)
	if err != nil {
		return err
	}
	// Ourselves, by address: there is no name to check a certificate against.
	t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // see above
	r, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return fmt.Errorf("the API does not answer: %w", err)
	}
	_ = r.Body.Close()
	if r.StatusCode >= http.StatusInternalServerError && r.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("the API answers %s", r.Status)
	}
	return nil
}
