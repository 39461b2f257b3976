// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Bounds on what a BMC may make us ask and keep. Large servers have some 300 records of 50 to 70 bytes.
const (
	maxRecords = 2048
	maxSensors = 2048      // a record can stand for 15
	maxImage   = 128 << 10 // bytes of all records together
	maxAsked   = 16 << 10  // commands of one reading of the repository
	maxRetried = 16        // cancelled reservations and chunks that were too large
	firstChunk = 32        // bytes of a record asked for at once, halved when the BMC cannot
	leastChunk = 8
	lastRecord = 0xffff
)

// asker sends one command and gives the answer's data without the completion code.
type asker func(Raw) ([]byte, error)

// repository is what a BMC tells of its sensors: all records of full and compact sensors behind one another. The text is
// shared by all machines that tell the same.
type repository struct {
	stamp string // record count and times of the last changes
	image string
}

// sdrCommands are the same commands in two places: the SDR repository (IPMI v2.0, section 33) and, for BMCs without one,
// the sensors' own device (35.2 to 35.4).
type sdrCommands struct{ netfn, info, reserve, get byte }

var (
	sdrRepository = sdrCommands{netStorage, 0x20, 0x22, 0x23}
	sdrDevice     = sdrCommands{netSensor, 0x20, 0x22, 0x21}
)

// sdrPlace finds out where the BMC keeps its records, and their stamp. The device of sensors tells no times.
func sdrPlace(ask asker) (sdrCommands, string, error) {
	d, err := ask(Raw{sdrRepository.netfn, sdrRepository.info, nil})
	switch {
	case err == nil && len(d) < 14:
		return sdrCommands{}, "", fmt.Errorf("%w: Get SDR Repository Info has %d bytes: wanted 14", errNonsense, len(d))
	case err == nil:
		return sdrRepository, string(d[1:3]) + string(d[5:13]), nil
	case !refusedWith(err, 0xc1, 0xc9, 0xcb, 0xcc, 0xd6):
		return sdrCommands{}, "", err
	}
	d, other := ask(Raw{sdrDevice.netfn, sdrDevice.info, nil})
	switch {
	case other != nil:
		return sdrCommands{}, "", err // the repository's error says more
	case len(d) < 2:
		return sdrCommands{}, "", fmt.Errorf("%w: Get Device SDR Info has %d bytes: wanted 2", errNonsense, len(d))
	default:
		return sdrDevice, string(d), nil
	}
}

// errNonsense marks answers that no BMC should give.
var errNonsense = errors.New("the BMC told nonsense of its sensors")

// readRepository reads all records. Whatever the BMC answers, it ends after maxAsked commands at most.
func readRepository(where sdrCommands, stamp string, ask asker) (repository, error) {
	r := sdrReader{sdrCommands: where, chunk: firstChunk}
	r.ask = func(q Raw) ([]byte, error) {
		if r.asked++; r.asked > maxAsked {
			return nil, fmt.Errorf("%w: it has made us ask %d times and is not through", errNonsense, maxAsked)
		}
		return ask(q)
	}
	var image strings.Builder
	seen := map[uint16]bool{}
	for id := uint16(0); id != lastRecord; {
		if seen[id] {
			return repository{}, fmt.Errorf("%w: record %04xh comes behind itself", errNonsense, id)
		}
		if len(seen) == maxRecords {
			return repository{}, fmt.Errorf("%w: there are more than %d records", errNonsense, maxRecords)
		}
		seen[id] = true
		next, record, err := r.record(id)
		if id == 0 && refusedWith(err, 0xcb) { // empty
			break
		}
		if err != nil {
			return repository{}, fmt.Errorf("sensor record %04xh: %w", id, err)
		}
		if kind := record[3]; kind == sdrFull || kind == sdrCompact {
			image.Write(record)
		}
		if image.Len() > maxImage {
			return repository{}, fmt.Errorf("%w: its records have more than %d bytes", errNonsense, maxImage)
		}
		id = next
	}
	return repository{stamp: stamp, image: image.String()}, nil
}

// sensors are those of the image, maxSensors at most; records that make no sense are counted and left out.
func (r repository) sensors() (out []sensor, bad int) {
	for rest := []byte(r.image); len(rest) >= sdrHeader && len(out) < maxSensors; {
		n := min(sdrHeader+int(rest[4]), len(rest))
		s, err := parseSensors(rest[:n])
		if err != nil {
			bad++
		}
		out, rest = append(out, s...), rest[n:]
	}
	return out[:min(len(out), maxSensors)], bad
}

// sdrReader is one walk through the records.
type sdrReader struct {
	sdrCommands
	ask         asker
	reservation uint16
	reserved    bool
	chunk       int
	asked       int
	retried     int
}

// record reads one record, in parts as large as the BMC can give, from the start again when the reservation ended.
func (r *sdrReader) record(id uint16) (next uint16, record []byte, err error) {
	for {
		next, record, err = r.whole(id)
		switch {
		case refusedWith(err, 0xc5) && r.retried < maxRetried: // reservation canceled: somebody changed the repository
			r.retried++
			r.reserved = false
		case refusedWith(err, 0xca, 0xc7, 0xc8, 0xff) && r.chunk > leastChunk && r.retried < maxRetried:
			r.retried++
			r.chunk /= 2
		default:
			return next, record, err
		}
	}
}

func (r *sdrReader) whole(id uint16) (next uint16, record []byte, err error) {
	if !r.reserved {
		d, err := r.ask(Raw{r.netfn, r.reserve, nil})
		switch {
		case err == nil && len(d) < 2:
			return 0, nil, fmt.Errorf("%w: a reservation has %d bytes: wanted 2", errNonsense, len(d))
		case err == nil:
			r.reservation = binary.LittleEndian.Uint16(d)
		case !refusedWith(err, 0xc1): // who knows no reservations needs none
			return 0, nil, err
		}
		r.reserved = true
	}
	next, head, err := r.part(id, 0, sdrHeader)
	if err != nil {
		return 0, nil, err
	}
	if len(head) != sdrHeader {
		return 0, nil, fmt.Errorf("%w: a record's header has %d bytes: wanted %d", errNonsense, len(head), sdrHeader)
	}
	record = append(make([]byte, 0, sdrHeader+int(head[4])), head...)
	for size := sdrHeader + int(head[4]); len(record) < size; {
		if len(record) > 0xff {
			return 0, nil, fmt.Errorf("%w: it gives a record of %d bytes in parts that reach no byte behind 255", errNonsense, size)
		}
		want := min(r.chunk, size-len(record))
		_, b, err := r.part(id, len(record), want)
		switch {
		case err != nil:
			return 0, nil, err
		case len(b) < min(want, leastChunk) || len(b) > want:
			return 0, nil, fmt.Errorf("%w: of %d bytes it gave %d", errNonsense, want, len(b))
		}
		record = append(record, b...)
	}
	return next, record, nil
}

// part is Get SDR.
func (r *sdrReader) part(id uint16, at, n int) (next uint16, data []byte, err error) {
	q := binary.LittleEndian.AppendUint16(nil, r.reservation)
	q = append(binary.LittleEndian.AppendUint16(q, id), byte(at), byte(n)) //nolint:gosec // both below 256
	d, err := r.ask(Raw{r.netfn, r.get, q})
	switch {
	case err != nil:
		return 0, nil, err
	case len(d) < 2:
		return 0, nil, fmt.Errorf("%w: Get SDR has %d bytes: wanted at least 2", errNonsense, len(d))
	}
	return binary.LittleEndian.Uint16(d), d[2:], nil
}
