// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package nova

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	microversion = "2.76"  // the first that knows power-update
	maxAnswer    = 1 << 20 // bytes read of an answer
	maxShown     = 300     // bytes of it in an error
)

// refusal is an answer that will not change when asked again.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

// event is one of Nova's external events.
type event struct {
	Name   string `json:"name"`
	Server string `json:"server_uuid"`
	Tag    string `json:"tag"`
}

// tell makes one request of all records. An error is a *refusal when it is of no use to try again.
func (c *Caller) tell(ctx context.Context, batch []waiting) ([]verdict, error) {
	key, endpoint, err := c.sign(ctx)
	if err != nil {
		return nil, err
	}
	body := struct {
		Events []event `json:"events"`
	}{make([]event, len(batch))}
	for i, w := range batch {
		body.Events[i] = event{"power-update", w.Server, w.Tag}
	}
	head := http.Header{
		"OpenStack-API-Version":        {"compute " + microversion},
		"X-OpenStack-Nova-API-Version": {microversion},
		"X-Openstack-Request-Id":       {requestID(batch)},
	}
	if key != "" {
		head["X-Auth-Token"] = []string{key}
	}
	answer, err := c.post(ctx, strings.TrimRight(endpoint, "/")+"/os-server-external-events", head, body)
	if err != nil {
		return nil, err
	}
	switch code := answer.status; {
	case code == http.StatusUnauthorized && key != "": // the token was taken back before its time
		c.key = token{}
		return nil, answer.errorf("Nova refused the token")
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return nil, answer.errorf("Nova failed")
	case code >= http.StatusMultipleChoices:
		return nil, &refusal{answer.errorf("Nova refused").Error()}
	}
	var told struct {
		Events []verdict `json:"events"`
	}
	if err := json.Unmarshal(answer.body, &told); err != nil {
		return nil, answer.errorf("Nova's answer is not what was wanted, a list of events: %v", err)
	}
	return told.Events, nil
}

// requestID is the global request id: of the request that caused the only event, or one made from the first.
func requestID(batch []waiting) string {
	if len(batch) == 1 && batch[0].Request != "" {
		return batch[0].Request
	}
	return "req-" + batch[0].id
}

// reply is an answer over HTTP.
type reply struct {
	url    string
	status int
	header http.Header
	body   []byte
}

// errorf describes an unwanted answer.
func (r *reply) errorf(format string, args ...any) error {
	text := strings.Join(strings.Fields(string(r.body)), " ")
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return fmt.Errorf("%s: POST %s: %d %s: %s", fmt.Sprintf(format, args...), r.url, r.status, http.StatusText(r.status), text)
}

// post sends JSON.
func (c *Caller) post(ctx context.Context, url string, head http.Header, body any) (*reply, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for k, v := range head {
		q.Header[http.CanonicalHeaderKey(k)] = v
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Accept", "application/json")
	q.Header.Set("User-Agent", "ferrite")
	q.Header["X-Idempotency-Key"] = nil // not sent: a kept connection that the server has just closed is no failure
	r, err := c.http.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	answer := &reply{url: url, status: r.StatusCode, header: r.Header}
	if answer.body, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer)); err != nil {
		return nil, fmt.Errorf("POST %s: reading the answer: %w", url, err)
	}
	return answer, nil
}
