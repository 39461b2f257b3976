// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ipmi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
	"unique"

	"ferrite/bmc"
	"ferrite/node"
)

const (
	cmdSensorFactors = 0x23
	cmdSensorReading = 0x2d
)

// repositories remember what BMCs told of their sensors, so that a round of readings asks for readings alone. Machines
// that tell the same share it.
type repositories struct {
	mu  sync.Mutex // guards by
	by  map[recordKey]remembered
	cap int // how many are kept before old ones are looked for
}

type remembered struct {
	place sdrCommands
	repository
	shared unique.Handle[string] // of the image: equal ones are kept once
	read   time.Time
	used   time.Time
}

const (
	rememberFor = 6 * time.Hour // then it is read again, whatever its stamp says
	forgetAfter = time.Hour     // not used for so long: the node is gone, or sensors are not collected any more
)

func (m *repositories) get(k recordKey) (remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.by[k]
	if ok {
		r.used = time.Now()
		m.by[k] = r
	}
	return r, ok
}

func (m *repositories) put(k recordKey, r remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by, m.cap = map[recordKey]remembered{}, 1024
	}
	if len(m.by) >= m.cap {
		for k, r := range m.by {
			if time.Since(r.used) > forgetAfter {
				delete(m.by, k)
			}
		}
		m.cap = max(1024, 2*len(m.by))
	}
	r.used = r.read
	m.by[k] = r
}

// asking is a way to ask a node's BMC one command at a time, behind everything else that is asked of it.
func (d driver) asking(ctx context.Context, n *node.Node, name string) (asker, recordKey, error) {
	k, err := d.key(ctx, n, name)
	if err != nil {
		return nil, recordKey{}, err
	}
	return func(q Raw) ([]byte, error) {
		return d.e.do(ctx, name, k, &call{slow: true, known: n.Refused, insist: bmc.Insists(ctx), step: step{q.NetFn, q.Cmd, q.Data}})
	}, k, nil
}

// Sensors reads all sensors: their records when they have changed, then one reading each.
func (d driver) Sensors(ctx context.Context, n *node.Node) ([]bmc.Sensor, error) {
	ask, k, err := d.asking(ctx, n, "sdr")
	if err != nil {
		return nil, err
	}
	r, err := d.repository(k, ask)
	if err != nil {
		return nil, err
	}
	all, bad := r.sensors()
	if bad > 0 {
		d.e.cfg.Logger.Debug("a BMC has sensor records that make no sense", "bmc", k.addr.String(), "records", bad)
	}
	return readSensors(all, ask)
}

// repository is what the BMC tells of its sensors, from memory while it has not changed.
func (d driver) repository(k recordKey, ask asker) (repository, error) {
	known, ok := d.e.sensors.get(k)
	place, stamp, err := sdrPlace(ask)
	if err != nil {
		return repository{}, d.wrapped(k, err)
	}
	if ok && known.place == place && known.stamp == stamp && time.Since(known.read) < rememberFor {
		return known.repository, nil
	}
	r, err := readRepository(place, stamp, ask)
	if err != nil {
		return repository{}, d.wrapped(k, err)
	}
	shared := unique.Make(r.image)
	r.image = shared.Value()
	d.e.sensors.put(k, remembered{place: place, repository: r, shared: shared, read: time.Now()})
	return r, nil
}

// wrapped makes an error of the walk one of the BMC.
func (d driver) wrapped(k recordKey, err error) error {
	if b := (*bmc.Error)(nil); errors.As(err, &b) {
		return err
	}
	return &bmc.Error{Command: "sdr", Address: k.addr.String(), Err: err}
}

// readSensors reads each sensor once. One that the BMC will not read has no reading; one that is behind another
// controller has none either, since nothing is asked across bridges. It ends at the first error that is none of a sensor.
func readSensors(all []sensor, ask asker) ([]bmc.Sensor, error) {
	out := make([]bmc.Sensor, 0, len(all))
	for i := range all {
		s := &all[i]
		var d []byte
		if s.owner == bmcAddress && s.channel == 0 {
			var err error
			if d, err = ask(Raw{onLUN(netSensor, s.lun), cmdSensorReading, []byte{s.number}}); err != nil && !answered(err) {
				return nil, err
			}
			if err != nil {
				d = nil
			}
		}
		if s.analog() && s.nonLinear() && len(d) >= 2 {
			f, err := ask(Raw{onLUN(netSensor, s.lun), cmdSensorFactors, []byte{s.number, d[0]}})
			switch {
			case err != nil && !answered(err):
				return nil, err
			case err != nil || len(f) < 7:
				d = nil
			default:
				s.factors = parseFactors(s.linear, f[1:7])
			}
		}
		out = append(out, s.read(d))
	}
	return out, nil
}

// answered reports whether an error is the BMC's word about this one sensor.
func answered(err error) bool {
	var c completion
	return errors.As(err, &c)
}

// Bits of the second byte of a reading (IPMI v2.0, section 35.14).
const (
	readingScanned = 0x40
	readingMissing = 0x20
)

// read makes a sensor of its record and the answer to Get Sensor Reading; nil = there was none.
func (s *sensor) read(d []byte) bmc.Sensor {
	out := bmc.Sensor{
		ID: fmt.Sprintf("%s (0x%x)", s.name, s.number), Name: s.name, Number: s.number, Type: sensorKind(s.kind),
		Entity: fmt.Sprintf("%d.%d (%s)", s.entity, s.inst, entityName(s.entity)),
	}
	text := "No Reading"
	var status [2]byte
	switch {
	case len(d) < 2:
	case d[1]&readingScanned == 0:
		text = "Disabled"
	default:
		copy(status[:], d[2:])
		if d[1]&readingMissing == 0 {
			out.Known = true
		}
	}
	if s.analog() {
		out.Unit = unitText(s.units)
		if out.Known {
			out.Value = s.value(d[0])
		}
		if math.IsNaN(out.Value) || math.IsInf(out.Value, 0) { // a curve that has no value there
			out.Value, out.Known = 0, false
		}
	}
	if out.Known {
		text = s.readingText(d[0], &out)
	}
	if s.reading == eventThreshold {
		s.measured(&out, text, status[0])
	} else {
		s.watched(&out, text, status)
	}
	return out
}

// readingText words a reading as ipmitool does.
func (s *sensor) readingText(raw byte, out *bmc.Sensor) string {
	switch {
	case s.analog():
		return number(out.Value, true) + " (+/- " + number(finite(s.span(s.tolerance, 2)), true) + ") " + out.Unit
	case s.reading != eventThreshold:
		return fmt.Sprintf("%xh", raw)
	case s.full:
		return fmt.Sprintf("0x%02X (+/- 0x%02X)", raw, s.tolerance)
	default:
		return fmt.Sprintf("0x%02X", raw)
	}
}

// number words a value: with three places, or none where whole allows it and it needs none. What no machine measures is
// worded short.
func number(v float64, whole bool) string {
	if math.Abs(v) >= 1e30 {
		return fmt.Sprintf("%.6g", v)
	}
	if whole && v == math.Trunc(v) && math.Abs(v) < 1<<31 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
