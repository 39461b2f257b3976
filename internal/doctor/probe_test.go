// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestLook(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().String()
	if p := Look(at); p.Free || p.Err != nil || p.PID != os.Getpid() || p.Command == "" || !strings.Contains(p.String(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("our own port: %+v (%s)", p, p)
	}
	_, port, _ := net.SplitHostPort(at)
	if p := Look("0.0.0.0:" + port); p.Free || p.PID != os.Getpid() {
		t.Errorf("our port on all addresses: %+v", p)
	}
	if p := Look("127.0.0.1:0"); !p.Free {
		t.Errorf("any port: %+v", p)
	}
	if p := Look("192.0.2.1:80"); p.Err == nil { // of nobody (RFC 5737)
		t.Errorf("an address that is not ours: %+v", p)
	}
}

func TestListening(t *testing.T) {
	for line, want := range map[string]string{
		"0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0 0 10 0":                                                 "127.0.0.1:8080",
		"0: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0 0 10 0": "127.0.0.1:80",

		"0: B80D01200000000000000000010000000:0050":                                                          "",
		"0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0 0 10 0": "", // connected
		"sl  local_address rem_address   st tx_queue":                                                        "",
	} {
		at, inode, ok := listening(line)
		if ok != (want != "") || ok && (at.String() != want || inode != "4711") {
			t.Errorf("%q: %v %q %v, wanted %q", line, at, inode, ok, want)
		}
	}
}

func TestHolder(t *testing.T) {
	dir := t.TempDir()
	if pid := Holder(dir); pid != 0 {
		t.Errorf("an empty folder is held by %d", pid)
	}
	f, err := os.Create(filepath.Join(dir, "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		t.Fatal(err)
	}
	if pid := Holder(dir); pid != 0 {
		t.Errorf("a lock that nobody holds is held by %d", pid)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor
		t.Fatal(err)
	}
	if pid := Holder(dir); pid != os.Getpid() {
		t.Errorf("our lock is held by %d", pid)
	}
}

const page = `# HELP a_total text
a_total 3
b{x="1",y="a \"b\", {c}"} 2.5
b{x="2",y=""} 1
nonsense
h_bucket{op="r",code="ok",le="0.1"} 5
h_bucket{op="r",code="ok",le="1"} 9
h_bucket{op="r",code="ok",le="+Inf"} 10
h_bucket{op="w",code="ok",le="0.1"} 0
h_bucket{op="w",code="ok",le="1"} 0
h_bucket{op="w",code="ok",le="+Inf"} 0
`

func TestMetrics(t *testing.T) {
	m, err := ReadMetrics(strings.NewReader(page))
	if err != nil || len(m) != 9 {
		t.Fatalf("%d series: %v", len(m), err)
	}
	if m.Count("a_total") != 3 || m.Count("b") != 3 || m.Label("b", "y") != `a "b", {c}` || m.Count("c") != 0 {
		t.Errorf("read %+v", m)
	}
	if v, ok := m.Value("b", "x", "1"); v != 2.5 || !ok {
		t.Errorf("b{x=1} is %v %v", v, ok)
	}
	for _, c := range []struct {
		q    float64
		want string
	}{{0.5, "0.1"}, {0.9, "1"}, {0.99, "+Inf"}} {
		if v, ok := m.Quantile(c.q, "h", "op", "r", "code", "ok"); !ok || strconv.FormatFloat(v, 'g', -1, 64) != c.want {
			t.Errorf("quantile %v is %v %v, wanted %s", c.q, v, ok, c.want)
		}
	}
	if _, ok := m.Quantile(0.5, "h", "op", "w"); ok {
		t.Error("a histogram without values has a quantile")
	}
}

func TestSuiteNumbers(t *testing.T) {
	for _, c := range []struct {
		list string
		want []int
	}{
		{"\xc0\x03\x01\x41\x81\xc0\x11\x03\x44\x81", []int{3, 17}},
		{"\xc0\x11\x03\x44\x81\xc1\x80\xc0\xc0\xc0\x01\x41\xc0\x00\x00", []int{0, 17, 128}}, // a manufacturer's, with C0h in it
		{"\xc0", nil},
		{"", nil},
		{"\xc1\x05\x00", []int{5}},
	} {
		if got := suiteNumbers([]byte(c.list)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%x: %v, wanted %v", c.list, got, c.want)
		}
	}
}

// bmc answers like one, after it has ignored as many packets as told and sent others' answers before its own.
func bmc(t *testing.T, lost int32, answers map[byte][]byte) (address string, asked *atomic.Int32) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	asked = &atomic.Int32{}
	go func() {
		buf := make([]byte, 256)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if asked.Add(1) <= lost {
				continue
			}
			q := buf[:n]
			if len(q) < 21 || q[13] != byte(n-14) || sum(q[14:17]...) != 0 || sum(q[17:]...) != 0 { //nolint:gosec // small
				continue // a malformed question gets no answer
			}
			m := append([]byte{0x81, 7 << 2, sum(0x81, 7<<2), 0x20, q[18], q[19]}, answers[q[19]]...)
			m = append(m, sum(m[3:]...))
			p := append([]byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(m))}, m...) //nolint:gosec // small
			for _, other := range [][]byte{{}, {6, 0, 0xff, 6}, p[:len(p)-1], append(append([]byte{}, p[:19]...), 0x01)} {
				_, _ = conn.WriteTo(other, from)
			}
			_, _ = conn.WriteTo(p, from)
		}
	}()
	return conn.LocalAddr().String(), asked
}

func TestProbe(t *testing.T) {
	caps := []byte{0, 1, 0x80, 4, 2, 0, 0, 0, 0}
	t.Run("IPMI 2.0", func(t *testing.T) {
		at, asked := bmc(t, 1, map[byte][]byte{0x38: caps, 0x54: []byte("\x00\x01\xc0\x03\x01\x41\x81\xc0\x11\x03\x44\x81")})
		a, err := Probe(context.Background(), at)
		if err != nil || !a.IPMI2 || a.Took <= 0 || !reflect.DeepEqual(a.Suites, []int{3, 17}) || asked.Load() < 3 {
			t.Errorf("%+v %v after %d questions", a, err, asked.Load())
		}
	})
	t.Run("IPMI 1.5", func(t *testing.T) {
		at, _ := bmc(t, 0, map[byte][]byte{0x38: {0, 1, 0, 4, 0, 0, 0, 0, 0}})
		if a, err := Probe(context.Background(), at); err != nil || a.IPMI2 || a.Suites != nil {
			t.Errorf("%+v %v", a, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		at, _ := bmc(t, 0, map[byte][]byte{0x38: {0xc1}})
		if a, err := Probe(context.Background(), at); err == nil || !strings.Contains(err.Error(), "0xc1") {
			t.Errorf("%+v %v", a, err)
		}
	})
	t.Run("silent", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		at, _ := bmc(t, 1<<30, nil)
		if a, err := Probe(ctx, at); err == nil {
			t.Errorf("%+v", a)
		}
	})
}
