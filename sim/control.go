// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

type commandDoc struct {
	Time       time.Time `json:"time"`
	Source     string    `json:"source"`
	Session    string    `json:"session"`
	NetFn      byte      `json:"netfn"`
	Command    byte      `json:"command"`
	Name       string    `json:"name"`
	Data       string    `json:"data"`
	Completion byte      `json:"completion"`
}

type bmcDoc struct {
	Index          int          `json:"index"`
	Address        string       `json:"address"`
	Power          string       `json:"power"`
	BootDevice     string       `json:"boot_device"`
	BootPersistent bool         `json:"boot_persistent"`
	Sessions       int          `json:"sessions"`
	Dead           bool         `json:"dead"`
	Latency        string       `json:"latency"`
	RefusePower    bool         `json:"refuse_power"`
	LoseReplies    bool         `json:"lose_replies"`
	Light          bool         `json:"identify_light"`
	Fault          Fault        `json:"fault"`
	Polls          uint64       `json:"polls"`
	Commands       []commandDoc `json:"commands"`
}

// change is the body of PUT /bmcs/{i}; nil = leave.
type change struct {
	Power       *string `json:"power"`
	Dead        *bool   `json:"dead"`
	Latency     *string `json:"latency"`
	RefusePower *bool   `json:"refuse_power"`
	LoseReplies *bool   `json:"lose_replies"`
	Password    *string `json:"password"`
	Event       *string `json:"event"` // a system event for the log, see parseLogged
	Fault       *Fault  `json:"fault"`
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (f *Fleet) document(b *BMC) bmcDoc {
	d := bmcDoc{Index: b.index, Address: f.Addr(b.index).String(), Power: onOff(b.Power()), Sessions: b.Sessions(), Polls: b.Polls(), Light: b.Light(), Commands: []commandDoc{}}
	d.BootDevice, d.BootPersistent = b.BootDevice()
	b.mu.Lock()
	d.Dead, d.RefusePower, d.LoseReplies, d.Fault = b.dead, b.refuse, b.mute, b.fault
	l := f.cfg.Latency
	if b.latency != nil {
		l = *b.latency
	}
	b.mu.Unlock()
	d.Latency = l.String()
	for _, c := range b.Commands() {
		d.Commands = append(d.Commands, commandDoc{c.Time, c.Source.String(), fmt.Sprintf("0x%08x", c.Session), c.NetFn, c.Cmd, c.Name, hex.EncodeToString(c.Data), c.Completion})
	}
	return d
}

// handler is the control API.
func (f *Fleet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		on, dead := 0, 0
		for i := range f.bmcs {
			b := &f.bmcs[i]
			b.mu.Lock()
			if b.power {
				on++
			}
			if b.dead {
				dead++
			}
			b.mu.Unlock()
		}
		s := f.Stats()
		reply(w, http.StatusOK, map[string]any{
			"bmcs": len(f.bmcs), "on": on, "off": len(f.bmcs) - on, "dead": dead, "sessions": f.Sessions(),
			"packets_in": s.PacketsIn, "packets_out": s.PacketsOut, "commands": s.Commands, "repeats": s.Repeats, "auth_failures": s.AuthFailures, "drops": s.Drops,
		})
	})
	mux.HandleFunc("GET /bmcs/{i}", func(w http.ResponseWriter, r *http.Request) {
		if b := f.named(w, r); b != nil {
			reply(w, http.StatusOK, f.document(b))
		}
	})
	mux.HandleFunc("PUT /bmcs/{i}", func(w http.ResponseWriter, r *http.Request) {
		b := f.named(w, r)
		if b == nil {
			return
		}
		if err := b.change(w, r); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusOK, f.document(b))
	})
	return mux
}

func (f *Fleet) named(w http.ResponseWriter, r *http.Request) *BMC {
	i, err := strconv.Atoi(r.PathValue("i"))
	if err != nil || i < 0 || i >= len(f.bmcs) {
		reply(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("there is no BMC %q: wanted a number from 0 to %d", r.PathValue("i"), len(f.bmcs)-1)})
		return nil
	}
	return &f.bmcs[i]
}

// change reads the body whole before it changes anything.
func (b *BMC) change(w http.ResponseWriter, r *http.Request) error {
	var c change
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("wanted a JSON object with power, dead, latency, refuse_power, lose_replies, password, event or fault: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("wanted one JSON object with power, dead, latency, refuse_power, lose_replies, password, event or fault, found more behind it")
	}
	if c.Fault != nil {
		if err := c.Fault.valid(); err != nil {
			return err
		}
	}
	event, err := parseLogged(c.Event)
	if err != nil {
		return err
	}
	if c.Password != nil && len(*c.Password) > 20 {
		return fmt.Errorf("password has %d bytes: IPMI allows 20", len(*c.Password))
	}
	if c.Power != nil && *c.Power != "on" && *c.Power != "off" {
		return fmt.Errorf("power is %q: wanted \"on\" or \"off\"", *c.Power)
	}
	if c.Latency != nil {
		d, err := time.ParseDuration(*c.Latency)
		if err != nil || d < 0 {
			return fmt.Errorf("latency is %q: wanted a duration like \"20ms\"", *c.Latency)
		}
		b.SetLatency(d)
	}
	if c.Power != nil {
		b.SetPower(*c.Power == "on")
	}
	if c.Dead != nil {
		b.SetDead(*c.Dead)
	}
	if c.RefusePower != nil {
		b.SetRefusePower(*c.RefusePower)
	}
	if c.Fault != nil {
		_ = b.SetFault(*c.Fault) // checked above
	}
	if c.Password != nil {
		b.SetPassword(*c.Password)
	}
	if c.LoseReplies != nil {
		b.SetLoseReplies(*c.LoseReplies)
	}
	if c.Event != nil {
		b.LogEvent(0x02, event)
	}
	return nil
}

// parseLogged reads a system event: time (4 bytes, 0 = now), who logged it (2), event format, kind and number of the
// sensor, direction and event type, three bytes of data (IPMI 32.1).
func parseLogged(text *string) (out [13]byte, err error) {
	if text == nil {
		return out, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(*text, " ", ""))
	if err != nil || len(b) != len(out) {
		return out, fmt.Errorf("event is %q: wanted 13 bytes in hex, like \"00000000 2000 04 01 05 01 593c2f\"", *text)
	}
	return [13]byte(b), nil
}

func reply(w http.ResponseWriter, code int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(doc)
}
