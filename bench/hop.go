// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ferrite/cluster"
	"ferrite/command"
	"ferrite/node"
)

// hop is two processes that call each other as conductors do.
type hop struct {
	crew             *crew
	near, far, crowd *Row
	caller, called   *helper
	to               string
}

func newHop(ctx context.Context, cfg CommitConfig, r *Report) (*hop, error) {
	h := &hop{
		crew: &crew{ctx: ctx, self: cfg.Self},
		near: r.row("ferrite, a call within the process", "encoded, decoded and answered, as a hop's ends do"),
		far:  r.row("ferrite, a call to another process (hop), 1 at a time", "cluster.Router over protoactor's remote, plaintext on loopback"), crowd: r.row("ferrite, a call to another process (hop), 64 at a time", "calls share packets"),
	}
	cfg.say("starting two processes for the hop")
	var err error
	if h.called, err = h.crew.hire(setup{Kind: "hop", Name: "called"}); err == nil {
		h.caller, err = h.crew.hire(setup{Kind: "hop", Name: "caller"})
	}
	if err != nil {
		h.close()
		return nil, err
	}
	a, err := h.called.ask(request{Do: "address"})
	h.to = a.Text
	return h, err
}

func (h *hop) close() { h.crew.goHome() }

func (h *hop) round(calls int) error {
	for _, x := range []struct {
		row   *Row
		to    string
		crowd int64
	}{{h.near, "", 1}, {h.far, h.to, 1}, {h.crowd, h.to, 64}} {
		before, err := h.called.ask(request{Do: "cpu"})
		if err != nil {
			return err
		}
		a, err := h.caller.ask(request{Do: "call", N: calls, To: x.to, Window: x.crowd})
		if err != nil {
			return err
		}
		after, err := h.called.ask(request{Do: "cpu"})
		if err != nil {
			return err
		}
		x.row.add("call_p50_ms", percentile(a.Values, 50))
		x.row.add("call_p99_ms", percentile(a.Values, 99))
		x.row.add("calls_per_s", a.Sample.Rate)
		x.row.add("cpu_us_per_call", a.Sample.CPU+(after.Sample.CPU-before.Sample.CPU)/float64(calls))
	}
	return nil
}

// hopWorker is one end of the hop.
type hopWorker struct {
	t cluster.Transport
	r *cluster.Router
}

func newHopWorker(context.Context, setup) (role, error) {
	t, err := cluster.Remote("127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	w := &hopWorker{t: t}
	w.r = cluster.NewRouter(t, answerHop)
	return w, nil
}

// answerHop is what an owner does besides its work: read the request and write the answer.
func answerHop(_ context.Context, body []byte) []byte {
	if _, err := command.DecodeRequest(body); err != nil {
		return nil
	}
	b, err := command.EncodeReply(command.Reply{Value: bigNode(1)})
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func (w *hopWorker) close() { _ = w.r.Close() }

func (w *hopWorker) do(ctx context.Context, q request) (reply, error) {
	switch q.Do {
	case "address":
		return reply{Text: w.t.Addr()}, nil
	case "cpu":
		return reply{Sample: sample{CPU: float64(cpuTime().Microseconds())}}, nil
	case "call":
		return w.call(ctx, q)
	}
	return reply{}, fmt.Errorf("a hop cannot %q", q.Do)
}

func (w *hopWorker) call(ctx context.Context, q request) (reply, error) {
	one := func() error {
		b, err := command.EncodeRequest(command.Request{Node: bigNode(1).UUID, Msg: node.SetPower{Target: node.PowerOn}})
		if err != nil {
			return err
		}
		if q.To == "" {
			b = answerHop(ctx, bytes.Clone(b))
		} else {
			limited, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if b, err = w.r.Call(limited, q.To, b); err != nil {
				return err
			}
		}
		_, err = command.DecodeReply(b)
		return err
	}
	if err := one(); err != nil { // the first one makes the connection
		return reply{}, err
	}
	var mu sync.Mutex
	var a reply
	var failed error
	s, err := measure(q.N, func() error {
		var wg sync.WaitGroup
		for range q.Window {
			wg.Go(func() {
				var mine []float64
				for range q.N / int(q.Window) {
					t := time.Now()
					err := one()
					mine = append(mine, float64(time.Since(t).Nanoseconds())/1e6)
					if err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
						return
					}
				}
				mu.Lock()
				a.Values = append(a.Values, mine...)
				mu.Unlock()
			})
		}
		wg.Wait()
		return failed
	})
	slices.Sort(a.Values)
	a.Sample = s
	return a, err
}
