// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func routers(t *testing.T, n *Network, serve func(ctx context.Context, body []byte) []byte, names ...string) (out []*Router) {
	t.Helper()
	for _, name := range names {
		tr, err := n.Listen(name)
		if err != nil {
			t.Fatal(err)
		}
		r := NewRouter(tr, serve)
		t.Cleanup(func() { _ = r.Close() })
		out = append(out, r)
	}
	return out
}

func echo(_ context.Context, body []byte) []byte { return body }

func TestCallsFindTheirAnswers(t *testing.T) {
	rs := routers(t, NewNetwork(), echo, "a", "b")
	callsFindTheirAnswers(t, rs[0], "b")
}

func callsFindTheirAnswers(t *testing.T, r *Router, to string) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			want := fmt.Sprint("call ", i)
			got, err := r.Call(ctx, to, []byte(want))
			if err != nil || string(got) != want {
				t.Errorf("%q is answered with %q, %v", want, got, err)
			}
		})
	}
	wg.Wait()
}

// Who has left answers nothing: its callers hear so at once, not at their deadlines.
func TestGoneMembersKeepNobodyWaiting(t *testing.T) {
	n := NewNetwork()
	rs := routers(t, n, echo, "a", "b")
	n.Cut("a", "b", true)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		_, err := rs[0].Call(ctx, "b", []byte("x"))
		ended <- err
	}()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		rs[0].mu.Lock()
		waits := len(rs[0].calls)
		rs[0].mu.Unlock()
		if waits == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the call never waited")
		}
	}
	rs[0].Gone("b")
	if err := <-ended; !errors.Is(err, ErrLost) {
		t.Errorf("the call ended with %v", err)
	}
	n.Cut("a", "b", false) // b is back
	callsFindTheirAnswers(t, rs[0], "b")
}

// held is a transport that keeps what is sent, as a paused member's socket does.
type held struct {
	Transport
	mu   sync.Mutex
	sent [][]byte // nil = dropped
}

func (h *held) Send(_ string, b []byte) { h.mu.Lock(); defer h.mu.Unlock(); h.sent = append(h.sent, b) }

func (h *held) Drop(string) { h.mu.Lock(); defer h.mu.Unlock(); h.sent = append(h.sent, nil) }

// An answer that was lost with its stream keeps nobody waiting, though both members live; a call that takes long goes on.
func TestLostAnswersKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		began := make(chan struct{}, 2)
		rs := routers(t, n, func(_ context.Context, body []byte) []byte {
			began <- struct{}{}
			time.Sleep(20 * askTime)
			return body
		}, "a", "b")
		defer func() { _ = errors.Join(rs[0].Close(), rs[1].Close()) }()
		if got, err := rs[0].Call(t.Context(), "b", []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("a long call: %q %v", got, err)
		}
		<-began
		lost := make(chan error)
		go func() { _, err := rs[0].Call(t.Context(), "b", nil); lost <- err }()
		<-began
		time.Sleep(18 * askTime)
		n.Cut("b", "a", true)
		time.Sleep(2*askTime + askTime/2) // the answer is lost, what tells of life not for long enough to matter
		n.Cut("b", "a", false)
		if err := <-lost; !errors.Is(err, ErrLost) {
			t.Errorf("%v, wanted ErrLost", err)
		}
		n.Cut("a", "b", true) // the call itself is lost
		if _, err := rs[0].Call(t.Context(), "b", nil); !errors.Is(err, ErrLost) {
			t.Errorf("%v, wanted ErrLost", err)
		}
	})
}

// Who calls a member that has left, by an old View, is not kept waiting either; calls to the living go on.
func TestCallsToThoseWhoLeftEnd(t *testing.T) {
	hold := make(chan struct{})
	n := NewNetwork()
	rs := routers(t, n, func(_ context.Context, body []byte) []byte { <-hold; return body }, "a", "b", "c")
	rs[0].Gone("b")
	n.Cut("a", "b", true)
	lost, kept := make(chan error, 1), make(chan error, 1)
	go func() { _, err := rs[0].Call(t.Context(), "b", nil); lost <- err }()
	go func() { _, err := rs[0].Call(t.Context(), "c", nil); kept <- err }()
	for end := time.Now().Add(30 * time.Second); ; {
		rs[0].Keep([]string{"a", "c"})
		select {
		case err := <-lost:
			if !errors.Is(err, ErrLost) {
				t.Errorf("%v, wanted ErrLost", err)
			}
			close(hold)
			if err := <-kept; err != nil {
				t.Errorf("a call to a living member: %v", err)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("still waiting for one that left")
		}
	}
}

// A member that is only paused reads later what was sent to it. It must find the cancellation behind the call (S6).
func TestAPausedMemberDoesNotRunWhatNobodyWaitsFor(t *testing.T) {
	tr, err := NewNetwork().Listen("a")
	if err != nil {
		t.Fatal(err)
	}
	h := &held{Transport: tr}
	a := NewRouter(h, echo)
	t.Cleanup(func() { _ = a.Close() })
	ended := make(chan error, 1)
	go func() { _, err := a.Call(context.Background(), "b", []byte("x")); ended <- err }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		n := len(h.sent)
		h.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the call was never sent")
		}
	}
	a.Gone("b")
	if err := <-ended; !errors.Is(err, ErrLost) {
		t.Errorf("the call ended with %v", err)
	}
	ran := make(chan error, 1)
	b := routers(t, NewNetwork(), func(ctx context.Context, body []byte) []byte {
		select { // a read index takes longer than what lies in the same socket
		case <-ctx.Done():
			ran <- ctx.Err()
		case <-time.After(10 * time.Second):
			ran <- nil
		}
		return body
	}, "b")[0]
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sent) == 0 || h.sent[len(h.sent)-1] != nil {
		t.Error("the stream was not dropped at the end")
	}
	for _, p := range h.sent {
		if p == nil {
			break
		}
		b.packet(p)
	}
	if err := <-ran; err == nil {
		t.Error("a call that nobody waits for was run")
	}
}

// Who gives up tells so: the context of what is served ends (S6).
func TestWhoGivesUpTellsSo(t *testing.T) {
	begun, cancelled := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	rs := routers(t, NewNetwork(), func(ctx context.Context, body []byte) []byte {
		if calls.Add(1) == 1 {
			close(begun)
			<-ctx.Done()
			close(cancelled)
		}
		return body
	}, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := rs[0].Call(ctx, "b", []byte("x")); ended <- err }()
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, ErrLost) {
		t.Errorf("the call ended with %v", err)
	}
	<-cancelled
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte("\x01a\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x03\xe8x"))
	f.Add([]byte("\x01a\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := NewNetwork().Listen("b")
		if err != nil {
			t.Fatal(err)
		}
		r := NewRouter(tr, echo)
		r.packet(b)
		_ = r.Close()
	})
}

// Who was killed and is back at its address does not take the answer to a call of its former life for one to its own: the
// client of the new one would be told that something was done which was not.
func TestAnAnswerOfTheFormerLifeIsNobodys(t *testing.T) { // S6
	synctest.Test(t, func(t *testing.T) {
		n, held := NewNetwork(), make(chan struct{})
		routers(t, n, func(_ context.Context, body []byte) []byte {
			<-held
			return body
		}, "b")
		first, err := n.Listen("a")
		if err != nil {
			t.Fatal(err)
		}
		killed := NewRouter(first, echo)
		go func() { _, _ = killed.Call(t.Context(), "b", []byte("old")) }()
		synctest.Wait()
		n.Cut("a", "b", true) // its last words are not heard, nor is what it asks when it is back
		if err := killed.Close(); err != nil {
			t.Fatal(err)
		}
		back := routers(t, n, echo, "a")[0]
		ended := make(chan string, 1)
		go func() {
			b, err := back.Call(t.Context(), "b", []byte("new"))
			ended <- fmt.Sprint(string(b), err)
		}()
		synctest.Wait()
		close(held)
		if got := <-ended; got != ErrLost.Error() {
			t.Errorf("a call that never arrived is answered with %q, wanted that its outcome is not known", got)
		}
	})
}

// Who lives and cannot answer keeps nobody waiting either: it is told that nobody waits, and other calls between the two go on (S6).
func TestWhoCannotAnswerIsGivenUp(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	rs := routers(t, NewNetwork(), func(ctx context.Context, body []byte) []byte {
		if len(body) == 0 {
			close(began)
			<-ctx.Done()
			ended <- ctx.Err()
		}
		return body
	}, "a", "b")
	told := make(chan error)
	go func() { _, err := rs[0].Call(context.Background(), "b", nil); told <- err }()
	<-began
	rs[0].GiveUp("c") // another one
	callsFindTheirAnswers(t, rs[0], "b")
	rs[0].GiveUp("b")
	if err := <-told; !errors.Is(err, ErrLost) {
		t.Errorf("the caller is told %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	callsFindTheirAnswers(t, rs[0], "b")
	callsFindTheirAnswers(t, rs[1], "a")
}
