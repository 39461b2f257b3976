// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"ferrite/bmc"
	"ferrite/node"
)

const (
	cmdSELInfo    = 0x40
	cmdSELReserve = 0x42
	cmdSELEntry   = 0x43
	cmdSELClear   = 0x47

	selEntry   = 16       // bytes of an entry
	maxEvents  = 16 << 10 // entries read of one log; the largest hold some 4000
	systemKind = 0x02
	oemTimed   = 0xc0 // up to dfh: the maker's own, with a time
	oemUntimed = 0xe0 // and above: without
)

// Events reads the System Event Log from its beginning: entries say what comes next, not what came before.
func (d driver) Events(ctx context.Context, n *node.Node, limit int) ([]bmc.Event, error) {
	ask, k, err := d.asking(ctx, n, "sel list")
	if err != nil {
		return nil, err
	}
	entries, err := readEvents(ask, limit)
	if b := (*bmc.Error)(nil); err != nil && !errors.As(err, &b) {
		err = &bmc.Error{Command: "sel list", Address: k.addr.String(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	names := map[byte]string{}
	if known, ok := d.e.sensors.get(k); ok {
		all, _ := known.sensors()
		for _, s := range all {
			names[s.number] = s.name
		}
	}
	out := make([]bmc.Event, 0, len(entries))
	for _, e := range entries {
		out = append(out, parseEvent(e, names))
	}
	return out, nil
}

// readEvents reads the newest entries, limit of them when that is above 0. Whatever the BMC answers, it ends.
func readEvents(ask asker, limit int) ([][selEntry]byte, error) {
	info, err := ask(Raw{netStorage, cmdSELInfo, nil})
	switch {
	case err != nil:
		return nil, err
	case len(info) < 3:
		return nil, fmt.Errorf("%w: Get SEL Info has %d bytes: wanted at least 3", errNonsense, len(info))
	case info[1] == 0 && info[2] == 0:
		return nil, nil
	}
	var out [][selEntry]byte
	seen := map[uint16]bool{}
	for id := uint16(0); id != lastRecord; {
		if seen[id] {
			return nil, fmt.Errorf("%w: event %04xh comes behind itself", errNonsense, id)
		}
		if len(seen) == maxEvents {
			return nil, fmt.Errorf("%w: there are more than %d events", errNonsense, maxEvents)
		}
		seen[id] = true
		// A whole entry needs no reservation (IPMI v2.0, section 31.5).
		d, err := ask(Raw{netStorage, cmdSELEntry, []byte{0, 0, byte(id), byte(id >> 8), 0, 0xff}}) //nolint:gosec // two halves
		switch {
		case refusedWith(err, 0xcb): // the log is empty, or was cleared meanwhile
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("event %04xh: %w", id, err)
		case len(d) != 2+selEntry:
			return nil, fmt.Errorf("%w: event %04xh has %d bytes: wanted %d", errNonsense, id, len(d), 2+selEntry)
		}
		if limit > 0 && len(out) == limit {
			out = slices.Delete(out, 0, 1)
		}
		out = append(out, [selEntry]byte(d[2:]))
		id = binary.LittleEndian.Uint16(d)
	}
	return out, nil
}

// How long the BMC may take to erase its log, how often it is asked, and how often a new event may come in between.
const (
	eraseTime  = 30 * time.Second
	eraseLook  = 200 * time.Millisecond
	eraseTries = 4
)

// ClearEvents reserves the log, so that an event which comes meanwhile is not lost unseen, has it erased and waits until
// that is done (IPMI v2.0, sections 31.4 and 31.9).
func (d driver) ClearEvents(ctx context.Context, n *node.Node, p bmc.Permit) error {
	const name = "sel clear"
	send := func(c *call, cmd byte, data ...byte) ([]byte, error) {
		c.priv = privOperator
		return d.send(ctx, n, name, c, Raw{netStorage, cmd, data})
	}
	for try := 1; ; try++ {
		id, err := send(&call{}, cmdSELReserve)
		switch {
		case refusedWith(err, 0xc1): // then none is asked for
			id = []byte{0, 0}
		case err != nil:
			return err
		case len(id) < 2:
			return &bmc.Error{Command: name, Err: fmt.Errorf("%w: Reserve SEL has %d bytes: wanted 2", errNonsense, len(id))}
		}
		state, err := send(&call{mutating: true, once: true, permit: p}, cmdSELClear, id[0], id[1], 'C', 'L', 'R', 0xaa)
		if refusedWith(err, 0xc5) && try < eraseTries { // an event came: nothing was erased
			continue
		}
		for end := time.Now().Add(eraseTime); err == nil && len(state) > 0 && state[0]&0xf == 0; {
			select {
			case <-ctx.Done():
				return &bmc.Error{Command: name, Unknown: true, Err: ctx.Err()}
			case <-time.After(eraseLook):
			}
			if time.Now().After(end) {
				return &bmc.Error{Command: name, Unknown: true, Err: fmt.Errorf("it still erases its log after %s", eraseTime)}
			}
			if state, err = send(&call{}, cmdSELClear, id[0], id[1], 'C', 'L', 'R', 0); refusedWith(err, 0xc5) {
				return nil // it is in use again
			}
		}
		return err
	}
}

// parseEvent reads an entry (IPMI v2.0, section 32). names are the sensors that are known.
func parseEvent(b [selEntry]byte, names map[byte]string) bmc.Event {
	e := bmc.Event{ID: binary.LittleEndian.Uint16(b[:]), Record: b[2]}
	if e.Record < oemUntimed {
		e.Time = eventTime(binary.LittleEndian.Uint32(b[3:]))
	}
	switch {
	case e.Record >= oemUntimed:
		e.Data = slices.Clone(b[3:])
		return e
	case e.Record != systemKind:
		e.Data = slices.Clone(b[7:])
		return e
	}
	kind, reading := b[10], b[12]&0x7f
	e.Generator, e.Type, e.Deassert = binary.LittleEndian.Uint16(b[7:]), sensorKind(kind), b[12]&0x80 != 0
	e.Sensor = fmt.Sprintf("0x%x", b[11])
	if name, ok := names[b[11]]; ok {
		e.Sensor = fmt.Sprintf("%s (0x%x)", name, b[11])
	}
	e.Text, e.Data = stateName(kind, reading, b[13]&0xf), slices.Clone(b[13:])
	return e
}

// eventTime is when an entry was made. All ones say that nobody knows; up to 20000000h are seconds since the BMC began,
// before it was told the time (IPMI v2.0, section 37).
func eventTime(s uint32) time.Time {
	if s == 0xffffffff || s <= 0x20000000 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}
