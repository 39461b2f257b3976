// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ferrite/conductor"
	"ferrite/internal/config"
	"ferrite/notify/embedded"
	"ferrite/sim"
)

// demoSpare is how many BMCs are left for the user to enroll.
const demoSpare = 5

// demoOptions are the flags of "ferrite demo".
type demoOptions struct {
	bmcs int
	// conductors that run as processes of their own; 1 = inside this one
	conductors int
	killAfter  time.Duration
	api        string
	nats       string
	sim        string
	control    string
	force      bool
	sync       time.Duration
	ends       time.Duration
}

func newDemo() *cobra.Command {
	o := demoOptions{bmcs: 200, conductors: 1, api: "127.0.0.1:6385", nats: embedded.DefaultListen, sim: sim.Defaults().Listen, control: "127.0.0.1:6231", sync: 5 * time.Second}
	c := &cobra.Command{
		Use: "demo", Short: "Run a conductor with simulated machines, to play with", Args: noArgs,
		Long: fmt.Sprintf(`Run a conductor with simulated machines, to play with.

It starts a conductor on a temporary data folder with a NATS server inside, and simulated BMCs that answer real IPMI
over UDP on loopback; enrolls --bmcs of them through the HTTP API and brings them to "available" (%d more are left for
you to enroll); prints what to try; and shows a live status line, or a line every 5 s off a terminal. A port that is
taken is named and another one used. Ctrl-C ends all of it and leaves nothing behind.

With --conductors 3 three conductors, each a process of its own, share the machines. Keys kill one (SIGKILL) and start it
again, and the status line shows who takes its nodes over and how long that took; off a terminal --kill-after does so once.

Other than Ironic, the demo believes the machine and not the record when their power differs; with
--force-power-state-during-sync it puts the machine back, as Ironic does by default.`, demoSpare),
		Example: "  ferrite demo\n" +
			"  ferrite demo --bmcs 1000 --for 60s\n" +
			"  ferrite demo --conductors 3\n" +
			"  ferrite demo --conductors 3 --kill-after 10s --for 30s\n" +
			"  ferrite demo --force-power-state-during-sync",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.bmcs < 1 || o.bmcs > 100_000 {
				return usageError{fmt.Errorf("--bmcs is %d: wanted 1 to 100000", o.bmcs)}
			}
			if o.sync < 100*time.Millisecond {
				return usageError{fmt.Errorf("--sync-power-state-interval is %s: wanted 100ms or more", o.sync)}
			}
			if !onLoopback(o.api) {
				return usageError{fmt.Errorf("--api-listen is %q: wanted a loopback address, since the demo asks nobody for a password", o.api)}
			}
			if o.conductors < 1 || o.conductors > demoMost {
				return usageError{fmt.Errorf("--conductors is %d: wanted 1 to %d", o.conductors, demoMost)}
			}
			if o.killAfter != 0 && (o.conductors < 2 || o.killAfter < 0) {
				return usageError{fmt.Errorf("--kill-after is %s with %d conductors: wanted more than 0, and at least 2", o.killAfter, o.conductors)}
			}
			d := demo{o: o, screen: newScreen(c.OutOrStdout()), colour: paletteFor(c.OutOrStdout())}
			if o.ends < 0 {
				return usageError{fmt.Errorf("--for is %s: wanted 0 (until Ctrl-C) or more", o.ends)}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGPIPE) // "ferrite demo | head" leaves nothing behind either
			defer stop()
			return d.run(ctx)
		},
	}
	f := c.Flags()
	f.IntVar(&o.bmcs, "bmcs", o.bmcs, "how many machines to enroll")
	f.IntVar(&o.conductors, "conductors", o.conductors, fmt.Sprintf("how many conductors, up to %d; with 2 and more each is a process of its own", demoMost))
	config.DurationFlag(f, &o.killAfter, "kill-after", "kill the log's leader so long after all are ready, and start it again so long after that, 0 = by keys only")
	f.StringVar(&o.api, "api-listen", o.api, "address of the API; the next ones for further conductors")
	f.StringVar(&o.nats, "nats-listen", o.nats, "address of the NATS server inside")
	f.StringVar(&o.sim, "sim-listen", o.sim, "UDP address of the simulated BMCs")
	f.StringVar(&o.control, "sim-control", o.control, "address of the simulator's control API")
	f.BoolVar(&o.force, "force-power-state-during-sync", o.force, "put machines back whose power changed behind our back")
	config.DurationFlag(f, &o.sync, "sync-power-state-interval", "how often each machine's power is read")
	config.DurationFlag(f, &o.ends, "for", "end this long after the machines are ready, 0 = at Ctrl-C")
	return c
}

// demo is one run of it.
type demo struct {
	o      demoOptions
	screen *screen
	colour palette

	dir       string
	fleet     *sim.Fleet
	conductor *conductor.Conductor // nil = cluster
	cluster   *demoCluster
	keys      keyboard
	failed    chan error // of the simulator
	simEnded  sync.WaitGroup
	stopSim   context.CancelFunc
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.screen, format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	who := "a conductor"
	if d.o.conductors > 1 {
		who = fmt.Sprintf("%d conductors", d.o.conductors)
	}
	d.say("Ferrite %s demo: %s and %d simulated machines, all on this computer; nothing is kept.", version, who, d.o.bmcs+demoSpare)
	began := time.Now()
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.start(ctx); err != nil {
		return stopped(ctx, err)
	}
	if err := d.enroll(ctx); err != nil {
		return stopped(ctx, err)
	}
	d.introduce(time.Since(began))
	if d.cluster != nil {
		return d.watchCluster(ctx)
	}
	return d.watch(ctx)
}

// stopped turns an error that Ctrl-C caused into none.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // its own end
	}
	return err
}

// start brings up the simulator, then the conductor.
func (d *demo) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ferrite-demo-")
	if err != nil {
		return fmt.Errorf("a temporary data folder: %w", err)
	}
	d.dir = dir
	clean := func() { _ = os.RemoveAll(dir) }
	atOnce.Store(&clean)
	if err := d.startSim(); err != nil {
		return err
	}
	if d.o.conductors > 1 {
		return d.startCluster(ctx)
	}
	return d.startConductor(ctx)
}

// apiURL is where the API is: any conductor's.
func (d *demo) apiURL() string {
	if d.cluster != nil {
		return "http://" + d.cluster.members[0].api
	}
	return d.conductor.APIURL()
}

func (d *demo) natsURL() string {
	if d.cluster != nil {
		return "nats://" + d.cluster.members[0].nats
	}
	return d.conductor.NATSURL()
}

func (d *demo) startSim() error {
	cfg := sim.Defaults()
	cfg.BMCs = d.o.bmcs + demoSpare
	control, err := d.free("the BMCs' control API", "sim-control", d.o.control, listenTCP)
	if err != nil {
		return err
	}
	cfg.Control = control
	_, err = d.free("the BMCs", "sim-listen", d.o.sim, func(address string) error {
		cfg.Listen = address
		d.fleet, err = sim.New(cfg)
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.stopSim, d.failed = cancel, make(chan error, 1)
	d.simEnded.Go(func() { d.failed <- d.fleet.Run(ctx) })
	return nil
}

func (d *demo) startConductor(ctx context.Context) error {
	cfg := conductor.Defaults()
	cfg.Name, cfg.Version, cfg.DataDir = "demo", version, d.dir
	cfg.Logger = slog.New(newConsole(d.screen, slog.LevelWarn, d.colour))
	cfg.Policy.ForcePower = d.o.force
	cfg.SyncInterval, cfg.NotificationLevel = d.o.sync, "info"
	cfg.IPMI.SubnetRate = 0                        // hundreds of simulated BMCs to a /24, each read every few seconds: nobody is to be spared
	cfg.ServeOn, cfg.DrainTimeout = 0, time.Second // Ctrl-C ends all within 2 s
	var api net.Listener
	address, err := d.free("the API", "api-listen", d.o.api, func(address string) (err error) {
		api, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if api != nil {
			_ = api.Close()
		}
	}()
	_, err = d.free("NATS", "nats-listen", d.o.nats, func(nats string) (err error) {
		if err := listenTCP(nats); err != nil {
			return err
		}
		if api == nil { // closed by the try before
			if api, err = net.Listen("tcp", address); err != nil {
				return err
			}
		}
		cfg.NATSListen, cfg.APIListener = nats, api
		d.conductor, err = conductor.Start(ctx, cfg)
		api = nil
		return err
	})
	return err
}

// free uses the address of a flag, or the next one that is free, and says so.
func (d *demo) free(who, flag, address string, use func(string) error) (string, error) {
	got, moved, err := elsewhere(address, use)
	if u := (usageError{}); errors.As(err, &u) {
		return "", usageError{fmt.Errorf("--%s: %w", flag, u.error)}
	}
	if err == nil && moved {
		_, port, _ := net.SplitHostPort(address)
		_, now, _ := net.SplitHostPort(got)
		if now == "0" {
			now = "that is free"
		}
		d.say("  port %s is taken: %s will use port %s", port, who, now)
	}
	return got, err
}

// onLoopback reports whether an address is on loopback, or none at all, which is told where it is used.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// listenTCP tries whether an address is free.
func listenTCP(address string) error {
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	return err
}

// end stops everything and says what is left: nothing.
func (d *demo) end() error {
	d.screen.Leave()
	if d.fleet == nil && d.dir == "" {
		return nil
	}
	began := time.Now()
	var err error
	d.keys.restore()
	if d.cluster != nil {
		d.cluster.end()
	}
	if d.conductor != nil {
		down, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		if err = d.conductor.Shutdown(down); err != nil {
			err = fmt.Errorf("ending the conductor: %w", err)
		}
	}
	left := 0
	if d.fleet != nil {
		left = d.fleet.Sessions()
		d.stopSim()
		d.simEnded.Wait()
	}
	if rmErr := os.RemoveAll(d.dir); rmErr != nil {
		err = errors.Join(err, fmt.Errorf("the temporary data folder: %w", rmErr))
	} else {
		if d.cluster == nil {
			d.say("Ended in %.1f s. BMC sessions that remained open: %d. Data folder %s: removed.", time.Since(began).Seconds(), left, d.dir)
		} else { // killed, not asked: sessions end with the simulator
			d.say("Ended in %.1f s. Conductors that still run: %d. Data folder %s: removed.", time.Since(began).Seconds(), len(d.cluster.living()), d.dir)
		}
	}
	return err
}
