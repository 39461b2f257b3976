// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Each contender of ours is a process of its own, a worker: this binary once more, which is told over its standard input what
// to do and answers on its standard output, a line of JSON each. So CPU and memory are one contender's alone, and contenders
// can take turns.

// setup is what a worker is to be.
type setup struct {
	Kind     string        `json:"kind"` // a key of workers
	Name     string        `json:"name,omitempty"`
	Dir      string        `json:"dir,omitempty"` // of its data, in the bench's folder
	BMCs     int           `json:"bmcs,omitempty"`
	Port     int           `json:"port,omitempty"`     // of the BMCs, or of the echo
	Sessions int           `json:"sessions,omitempty"` // slots of a simulated BMC
	Dead     float64       `json:"dead,omitempty"`     // share of dead BMCs
	PerPoll  bool          `json:"per_poll,omitempty"` // a session for each reading
	Paced    bool          `json:"paced,omitempty"`    // with the rates that spare BMCs
	Portable bool          `json:"portable,omitempty"` // of an engine: the socket of systems without batches
	Interval time.Duration `json:"interval,omitempty"` // of the power sync; 0 = rounds are asked for
	Host     string        `json:"host,omitempty"`     // of a member: its address
	Join     []string      `json:"join,omitempty"`
	Key      []byte        `json:"key,omitempty"`
	Profile  string        `json:"profile,omitempty"`
}

// request is one thing to do.
type request struct {
	Do     string `json:"do"`
	N      int    `json:"n,omitempty"`
	Window int64  `json:"window,omitempty"`
	To     string `json:"to,omitempty"`
}

// reply is what came of it; which fields count depends on the request.
type reply struct {
	Err    string    `json:"err,omitempty"`
	Sample sample    `json:"sample"`
	RSS    int64     `json:"rss,omitempty"`
	Heap   int64     `json:"heap,omitempty"`
	Count  int       `json:"count,omitempty"`
	Seen   int       `json:"seen,omitempty"`
	Lost   uint64    `json:"lost,omitempty"`
	Writes uint64    `json:"writes,omitempty"`
	Text   string    `json:"text,omitempty"`
	Names  []string  `json:"names,omitempty"`
	Values []float64 `json:"values,omitempty"`
}

// sample is a measured piece of work: per node or call.
type sample struct {
	Rate   float64 `json:"rate"`   // per second
	CPU    float64 `json:"cpu"`    // us each, of this process
	Allocs float64 `json:"allocs"` // each
}

// measure runs f, which does n pieces of work.
func measure(n int, f func() error) (sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	err := f()
	took, used := time.Since(start), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	return sample{
		Rate: float64(n) / took.Seconds(), CPU: float64(used.Nanoseconds()) / 1e3 / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, err
}

// role is a worker at work.
type role interface {
	do(ctx context.Context, q request) (reply, error)
	close()
}

// workers makes them by kind.
var workers = map[string]func(context.Context, setup) (role, error){
	"sim": newSimWorker, "conductor": newConductorWorker, "engine": newEngineWorker, "echo": newEchoWorker, "echo-server": newEchoServer,
	"member": newMember, "hop": newHopWorker,
}

// Work makes this process a worker until its input ends, whatever it does then. The bench makes the folder of its data and removes
// it; if the bench is gone by then, the worker removes it, and the bench's folder with it if it is the last one.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parent := os.Getppid()
	dec, enc := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	var s setup
	if err := dec.Decode(&s); err != nil {
		return fmt.Errorf("a worker's first line says what it is to be: %w", err)
	}
	defer func() {
		if s.Dir != "" && os.Getppid() != parent {
			_ = os.RemoveAll(s.Dir)
			_ = os.Remove(filepath.Dir(s.Dir)) // not while others have theirs there
		}
	}()
	requests := make(chan request)
	go func() {
		defer close(requests)
		defer cancel()
		for {
			var q request
			if dec.Decode(&q) != nil {
				return // the bench has ended, or has let go of this worker
			}
			requests <- q
		}
	}()
	begin := workers[s.Kind]
	if begin == nil {
		return fmt.Errorf("there is no worker %q", s.Kind)
	}
	r, err := begin(ctx, s)
	if err != nil {
		return errors.Join(err, enc.Encode(reply{Err: err.Error()}))
	}
	defer r.close()
	if err := enc.Encode(reply{}); err != nil {
		return err
	}
	for q := range requests {
		var a reply
		if q.Do == "memory" {
			a = memory()
		} else if a, err = r.do(ctx, q); err != nil {
			a.Err = err.Error()
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// memory is this process's, after what is garbage has gone back to the system.
func memory() reply {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return reply{RSS: rssAnon(), Heap: int64(m.HeapAlloc)} //nolint:gosec // far below
}

// helper is a worker as the bench sees it.
type helper struct {
	what string
	row  *Row // what it did goes there; nil = it is no contender

	commits bool // it has a log
	cmd     *exec.Cmd
	in      io.WriteCloser
	enc     *json.Encoder
	dec     *json.Decoder
	mu      sync.Mutex // one request at a time
	once    sync.Once
}

// hire starts a worker and waits until it is ready.
func hire(ctx context.Context, self string, s setup) (*helper, error) {
	h, err := start(ctx, self, s)
	if err != nil {
		return nil, err
	}
	return h, h.ready()
}

// start begins a worker without waiting for it: members of a cluster wait for each other.
func start(ctx context.Context, self string, s setup) (*helper, error) {
	c := exec.CommandContext(ctx, self, "bench", "worker")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	h := &helper{what: s.Kind + " " + s.Name, commits: s.Kind == "conductor", cmd: c, in: in, enc: json.NewEncoder(in), dec: json.NewDecoder(out)}
	if err := h.enc.Encode(s); err != nil {
		h.fire()
		return nil, err
	}
	return h, nil
}

// ready waits until a worker is.
func (h *helper) ready() error {
	_, err := h.answer()
	if err != nil {
		h.fire()
	}
	return err
}

// ask has a worker do something.
func (h *helper) ask(q request) (reply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.enc.Encode(q); err != nil {
		return reply{}, fmt.Errorf("worker %s: %w", h.what, err)
	}
	return h.answer()
}

func (h *helper) answer() (reply, error) {
	var a reply
	if err := h.dec.Decode(&a); err != nil {
		return a, fmt.Errorf("worker %s has ended: %w", h.what, err)
	}
	if a.Err != "" {
		return a, fmt.Errorf("worker %s: %s", h.what, a.Err)
	}
	return a, nil
}

// fire lets a worker go; it may end in order.
func (h *helper) fire() {
	h.once.Do(func() {
		_ = h.in.Close()
		end := time.AfterFunc(30*time.Second, func() { _ = h.cmd.Process.Kill() })
		_ = h.cmd.Wait()
		end.Stop()
	})
}

// kill ends a worker without a word.
func (h *helper) kill() {
	h.once.Do(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
}

// crew is workers that go together.
type crew struct {
	ctx  context.Context
	self string
	dir  string // the bench's folder
	all  []*helper
}

func (c *crew) hire(s setup) (*helper, error) {
	if s.Kind == "conductor" {
		dir, err := os.MkdirTemp(c.dir, s.Kind)
		if err != nil {
			return nil, err
		}
		s.Dir = dir
	}
	h, err := hire(c.ctx, c.self, s)
	if err == nil {
		c.all = append(c.all, h)
	}
	return h, err
}

// goHome lets all go, the last one first.
func (c *crew) goHome() {
	for i := len(c.all) - 1; i >= 0; i-- {
		c.all[i].fire()
	}
}

// quiet is a worker's logger: what it says goes to the terminal.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// Progress tells whoever runs a bench how far it is.
type Progress struct {
	Say  func(format string, args ...any) // a new piece of work
	Step func(done, of int)               // within the bench
}

func (p Progress) say(format string, args ...any) {
	if p.Say != nil {
		p.Say(format, args...)
	}
}

func (p Progress) step(done, of int) {
	if p.Step != nil {
		p.Step(done, of)
	}
}
