// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

//go:build killpoints

package actors

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Places in an operation's life, in their order. What a node does stands still at the place that the file named by
// KILLPOINTS_FILE names ("PLACE COUNT"); once COUNT nodes stand there, FILE.reached appears, and whoever waits for it
// may kill or suspend the process. Without the file they go on.
//
//	before-intent  decided, not yet proposed
//	after-intent   committed, no effect started
//	in-step        a step of a driver is about to run
//	before-send    the permit is there, the command not yet with the driver
//	after-reply    the effect is over, its outcome not yet proposed
//	after-result   the outcome is committed, nobody told
var killpoints struct {
	sync.Mutex // guards seen
	seen       map[string]bool
}

func killpoint(place, uuid string) {
	file := os.Getenv("KILLPOINTS_FILE")
	count := armed(file, place)
	if count == 0 {
		return
	}
	k := &killpoints
	k.Lock()
	if k.seen == nil {
		k.seen = map[string]bool{}
	}
	k.seen[uuid] = true
	if len(k.seen) == count {
		_ = os.WriteFile(file+".reached", nil, 0o600)
	}
	k.Unlock()
	for armed(file, place) > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// armed is how many nodes are to stand at a place, 0 = none.
func armed(file, place string) (count int) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	var named string
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &named, &count); err != nil || named != place {
		return 0
	}
	return count
}
