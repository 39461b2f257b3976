// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
)

// Answer is what a BMC tells anybody, before any session (IPMI v2.0, sections 22.13 and 22.15).
type Answer struct {
	Took   time.Duration // of the first question that was answered
	IPMI2  bool          // it speaks IPMI 2.0 (RMCP+)
	Suites []int         // cipher suites that it offers, sorted; nil = it does not tell
}

// probeWaits is how long each try waits for an answer.
var probeWaits = []time.Duration{time.Second, time.Second, 2 * time.Second}

// Probe asks a BMC for its authentication capabilities and its cipher suites. Neither needs a session: no slot is taken,
// no password is sent, and the conductor's own session is not disturbed.
func Probe(ctx context.Context, address string) (Answer, error) {
	var a Answer
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	began := time.Now()
	// Channel 0Eh is the one that is asked on, its top bit asks for the IPMI 2.0 part; 4 is administrator.
	data, err := ask(ctx, conn, 0x38, 0x8e, 4)
	if err != nil {
		return a, err
	}
	a.Took = time.Since(began)
	a.IPMI2 = len(data) > 3 && data[1]&0x80 != 0 && data[3]&2 != 0
	if a.IPMI2 {
		a.Suites, err = suites(ctx, conn)
		if err != nil {
			a.Suites = nil // older firmware does not know the question
		}
	}
	return a, nil
}

// suites reads the list of cipher suites in parts of 16 bytes.
func suites(ctx context.Context, conn net.Conn) ([]int, error) {
	var list []byte
	for i := byte(0); i < 0x40; i++ {
		data, err := ask(ctx, conn, 0x54, 0x0e, 0, 0x80|i)
		if err != nil {
			return nil, err
		}
		if len(data) < 1 {
			return nil, errors.New("a part of the list is empty")
		}
		list = append(list, data[1:]...)
		if len(data) < 17 {
			break
		}
	}
	return suiteNumbers(list), nil
}

// suiteNumbers reads the records of a list: C0h and a number, or C1h, a number and three bytes of a manufacturer; then
// algorithms, whose top bits are not both set.
func suiteNumbers(list []byte) []int {
	var out []int
	for i := 0; i+1 < len(list); i++ {
		if list[i] == 0xc0 || list[i] == 0xc1 {
			out = append(out, int(list[i+1]))
			i++
			if list[i-1] == 0xc1 {
				i += 3
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ask sends one command outside of a session and waits for its answer, without the completion code.
func ask(ctx context.Context, conn net.Conn, cmd byte, data ...byte) ([]byte, error) {
	buf := make([]byte, 1024)
	for try, wait := range probeWaits {
		seq := byte(try+1) << 2
		if _, err := conn.Write(question(seq, cmd, data)); err != nil {
			return nil, err
		}
		end := time.Now().Add(wait)
		if limit, ok := ctx.Deadline(); ok && limit.Before(end) {
			end = limit
		}
		if err := conn.SetReadDeadline(end); err != nil {
			return nil, err
		}
		for {
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			if got, code, ok := answer(buf[:n], cmd); ok {
				if code != 0 {
					return nil, fmt.Errorf("it refuses command %#02x with code %#02x", cmd, code)
				}
				return got, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no answer to %d questions", len(probeWaits))
}

// question is an IPMI 1.5 packet outside of a session (section 13.6) to the BMC's application.
func question(seq, cmd byte, data []byte) []byte {
	const bmc, application, us = 0x20, 6 << 2, 0x81
	p := []byte{6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(7 + len(data)), bmc, application, sum(bmc, application), us, seq, cmd} //nolint:gosec // few
	p = append(p, data...)
	return append(p, sum(p[17:]...))
}

// answer reads the packet that answers a question, if it is one.
func answer(p []byte, cmd byte) (data []byte, code byte, ok bool) {
	const head = 14
	if len(p) < head+8 || p[0] != 6 || p[3] != 7 || p[4] != 0 {
		return nil, 0, false
	}
	n := int(p[13])
	if n < 8 || n > len(p)-head {
		return nil, 0, false
	}
	m := p[head : head+n]
	if m[1]>>2 != 7 || m[5] != cmd || sum(m[3:len(m)-1]...) != m[len(m)-1] {
		return nil, 0, false
	}
	return m[7 : len(m)-1], m[6], true
}

// sum is the two's complement checksum of IPMI.
func sum(b ...byte) byte {
	var s byte
	for _, x := range b {
		s += x
	}
	return -s
}
