// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// openIntents is how many nodes, at most, have a power operation under way when their owner dies.
const openIntents = 64

// quietTime is how long nobody looks whether operations have ended: they cannot before the dead one's permits have, and what
// else is measured is over by then.
const quietTime = 8 * time.Second

// switching is what a node's API representation tells of its power.
type switching struct {
	Power       string  `json:"power_state"`
	Target      *string `json:"target_power_state"`
	Reservation *string `json:"reservation"`
}

func (s *site) switching(i int, uuid string) (w switching, err error) {
	err = s.get(i, "/v1/nodes/"+uuid+"?fields=uuid,power_state,target_power_state,reservation", &w)
	return w, err
}

// begin switches nodes on or off through their owner, which then has no time left to look at them again: a first look comes a
// second after the command. It returns those that were accepted.
func (s *site) begin(owner int, nodes []string) (open []string, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	targets := map[string]string{}
	for _, uuid := range nodes {
		w, err := s.switching(owner, uuid)
		if err != nil {
			return nil, err
		}
		targets[uuid] = "power on"
		if w.Power == "power on" {
			targets[uuid] = "power off"
		}
	}
	work := make(chan string)
	for range 16 {
		wg.Go(func() {
			for uuid := range work {
				e := s.order(owner, http.MethodPut, "/v1/nodes/"+uuid+"/states/power", fmt.Sprintf(`{"target":%q}`, targets[uuid]))
				mu.Lock()
				if e != nil {
					err = e
				} else {
					open = append(open, uuid)
				}
				mu.Unlock()
			}
		})
	}
	for _, uuid := range nodes {
		work <- uuid
	}
	close(work)
	wg.Wait()
	return open, err
}

// ended notes when a node's operation has ended at its new owner.
func (s *site) ended(ctx context.Context, c *clock, survivors []int, k int, uuid string) {
	if pause(ctx, quietTime) != nil {
		return
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		if w, err := s.switching(survivors[k%len(survivors)], uuid); err == nil && w.Target == nil && w.Reservation == nil {
			c.note("ended")
			return
		}
	}
}
