// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferrite/bmc"
	"ferrite/sim"
)

// simEnv makes this test binary a simulator in a process of its own, so that a benchmark counts the engine's CPU alone.
const simEnv = "FERRITE_TEST_SIM"

func TestMain(m *testing.M) {
	if os.Getenv(simEnv) != "" {
		simulate()
		return
	}
	goleak.VerifyTestMain(m)
}

func simulate() {
	cfg := sim.Defaults()
	cfg.Listen = "0.0.0.0:0"
	if _, err := fmt.Sscan(os.Getenv(simEnv), &cfg.BMCs); err != nil {
		panic(err)
	}
	f, err := sim.New(cfg)
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Addr(0))
	go func() { // ends with its parent
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	_ = f.Run(context.Background())
}

// apart starts n BMCs in another process and prepares a handle for each.
func apart(b *testing.B, e *Engine, n int) []bmc.Handle {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", simEnv, n))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddrPort(strings.TrimSpace(line))
	hs := make([]bmc.Handle, n)
	a := addr.Addr()
	for i := range hs {
		if hs[i], err = e.Driver().Poller.Prepare(at(netip.AddrPortFrom(a, addr.Port()))); err != nil {
			b.Fatal(err)
		}
		a = a.Next()
	}
	return hs
}

// cpu is the processor time that this process has used.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPoll is one Get Chassis Status in a kept session, all BMCs at once.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cfg := Defaults()
			cfg.Handshakes, cfg.Rate, cfg.SubnetRate = 0, 0, 0
			e := engine(b, cfg)
			hs := apart(b, e, n)
			sweep(b, hs)
			b.ReportAllocs()
			before, sent := cpu(b), e.Stats()
			b.ResetTimer()
			for done := 0; done < b.N; {
				k := min(len(hs), b.N-done)
				sweep(b, hs[:k])
				done += k
			}
			b.StopTimer()
			after := e.Stats()
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(after.Retransmits-sent.Retransmits), "retransmits")
			b.ReportMetric(float64(after.Failures), "failures")
		})
	}
}

// BenchmarkPaced is a sweep spread over time, as the power sync does it: a hundred polls every 20 ms.
func BenchmarkPaced(b *testing.B) {
	cfg := Defaults()
	cfg.Handshakes, cfg.Rate, cfg.SubnetRate = 0, 0, 0
	e := engine(b, cfg)
	hs := apart(b, e, 1000)
	sweep(b, hs)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	for done := 0; done < b.N; done += 100 {
		sweep(b, hs[done%1000:done%1000+100])
		time.Sleep(20 * time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkOpen is a handshake with the first reading.
func BenchmarkOpen(b *testing.B) {
	cfg := Defaults()
	cfg.Handshakes, cfg.Rate, cfg.SubnetRate = 0, 0, 0
	e := engine(b, cfg)
	hs := apart(b, e, b.N)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	sweep(b, hs)
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkMemory is what a BMC with an open session and a handle weighs.
func BenchmarkMemory(b *testing.B) {
	const n = 20000
	cfg := Defaults()
	cfg.Handshakes, cfg.Rate, cfg.SubnetRate = 0, 0, 0
	e := engine(b, cfg)
	var before, idle, open runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	hs := apart(b, e, n)
	runtime.GC()
	runtime.ReadMemStats(&idle)
	sweep(b, hs)
	runtime.GC()
	runtime.ReadMemStats(&open)
	b.ReportMetric(float64(idle.HeapAlloc-before.HeapAlloc)/n, "B/handle")
	b.ReportMetric(float64(open.HeapAlloc-idle.HeapAlloc)/n, "B/session")
	runtime.KeepAlive(hs)
}
