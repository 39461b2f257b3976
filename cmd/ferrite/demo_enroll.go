// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ferrite/client"
	"ferrite/node"
)

const (
	enrollers  = 16               // nodes enrolled at the same time
	enrollWait = 60 * time.Second // for one node to become available
	rackSize   = 20
	onEvery    = 4 // one machine in so many is switched on
)

// demoName is the name of the node on BMC i: rack and place, counted from 1.
func demoName(i int) string { return fmt.Sprintf("r%02dn%02d", i/rackSize+1, i%rackSize+1) }

// demoOn reports whether the demo switches machine i on.
func demoOn(i int) bool { return i%onEvery == 0 }

// driverInfo is how the conductor reaches BMC i.
func (d *demo) driverInfo(i int) map[string]any {
	a := d.fleet.Addr(i)
	return map[string]any{"ipmi_address": a.Addr().String(), "ipmi_port": int(a.Port()), "ipmi_username": "admin", "ipmi_password": "password"}
}

// enroll brings the machines into the record and to "available", as any client would. It ends at the first failure.
func (d *demo) enroll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	api := client.New(d.apiURL(), client.WithConnections(enrollers), client.WithPoll(10*time.Millisecond),
		client.WithRetry(10, 100*time.Millisecond), client.WithUserAgent("ferrite-demo"))
	defer api.Close()
	step, finish := d.progress(int64(d.o.bmcs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(enrollers, d.o.bmcs) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= d.o.bmcs {
					return
				}
				if err := d.enrollOne(ctx, api, i); err != nil {
					cancel(err)
					return
				}
				step()
			}
		})
	}
	wg.Wait()
	finish()
	err := context.Cause(ctx)
	if err == nil {
		err = d.settle(ctx, api)
	}
	if err != nil {
		return fmt.Errorf("enrolling the machines: %w", err)
	}
	return nil
}

func (d *demo) enrollOne(ctx context.Context, api *client.Client, i int) error {
	ctx, cancel := context.WithTimeout(ctx, enrollWait)
	defer cancel()
	n, err := api.CreateNode(ctx, client.NewNode{Driver: "ipmi", Name: demoName(i), DriverInfo: d.driverInfo(i), ResourceClass: "demo"})
	if doneBefore(err) { // nobody else makes nodes here
		n, err = api.GetNode(ctx, demoName(i))
	}
	if err != nil {
		return err
	}
	for _, move := range []struct {
		verb string
		to   node.State
	}{{"manage", node.Manageable}, {"provide", node.Available}} {
		if err := api.SetProvision(ctx, n.UUID, move.verb); err != nil {
			now, lookErr := api.GetNode(ctx, n.UUID)
			if !doneBefore(err) || lookErr != nil || now.ProvisionState != move.to && now.TargetProvisionState != move.to {
				return err
			}
		}
		if _, err := api.WaitProvision(ctx, n.UUID, move.to); err != nil {
			return err
		}
	}
	if !demoOn(i) {
		return nil
	}
	return api.SetPower(ctx, n.UUID, node.PowerOn, 0) // settle waits for all of them at once: each takes a second
}

// doneBefore reports whether a refusal may be that of a request which was sent again because its first answer was lost, as when
// another conductor came to lead the log meanwhile.
func doneBefore(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && (e.Status == http.StatusConflict || e.Status == http.StatusBadRequest)
}

// settle waits until no power change is under way any more.
func (d *demo) settle(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, enrollWait)
	defer cancel()
	for {
		nodes, err := api.ListNodes(ctx, client.Query{Fields: []string{"name", "power_state", "target_power_state", "last_error"}})
		if err != nil {
			return err
		}
		busy := 0
		for _, n := range nodes {
			switch {
			case n.TargetPowerState != "":
				busy++
			case n.LastError != "":
				return fmt.Errorf("node %s: wanted power on, found %q: %s", n.Name, n.PowerState, n.LastError)
			}
		}
		if busy == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d machines are still being switched on: %w", busy, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// progress shows a bar on a terminal, and a line every quarter elsewhere.
func (d *demo) progress(total int64) (step, finish func()) {
	if !d.screen.Live() {
		var done atomic.Int64
		return func() {
			if k := done.Add(1); k == total || k%max(total/4, 1) == 0 {
				d.say("  enrolled %d of %d", k, total)
			}
		}, func() {}
	}
	p := bars(d.screen.w, 40, 80*time.Millisecond)
	bar := p.AddBar(total,
		mpb.PrependDecorators(decor.Name("  enrolling  "), decor.CountersNoUnit("%d of %d  ")),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncSpace)))
	d.screen.Through(p)
	return bar.Increment, func() {
		if !bar.Completed() {
			bar.Abort(false)
		}
		p.Wait()
		d.screen.Through(nil)
	}
}
