// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ferrite/node"
)

// SetProvision asks for a provision verb: manage, provide, active, deleted, clean, inspect, adopt, abort, rebuild ...
// The answer only says that the work has begun; WaitProvision waits for its end.
func (c *Client) SetProvision(ctx context.Context, ident, verb string) error {
	return c.SetProvisionWith(ctx, ident, verb, nil)
}

// SetProvisionWith is SetProvision with further keys of the body, such as clean_steps or configdrive.
func (c *Client) SetProvisionWith(ctx context.Context, ident, verb string, more map[string]any) error {
	body := map[string]any{"target": verb}
	for k, v := range more {
		body[k] = v
	}
	return c.call(ctx, http.MethodPut, nodePath(ident, "states", "provision"), body, nil)
}

// WaitProvision looks at a node until it is in the wanted provision state and returns it. It gives up as soon as the
// node has come to rest in another state with a last_error, or in a failed state. A node whose work has not begun yet
// must not carry an old last_error; the service clears it when it accepts a verb.
func (c *Client) WaitProvision(ctx context.Context, ident string, want node.State) (*Node, error) {
	return c.wait(ctx, ident, fmt.Sprintf("provision state %q", want), func(n *Node) (bool, bool) {
		state := string(n.ProvisionState)
		failed := strings.HasSuffix(state, "failed") || state == string(node.ErrorState)
		rest := n.TargetProvisionState == "" && n.LastError != ""
		return n.ProvisionState == want && n.Reservation == "", failed || rest
	})
}

// SetPower asks for a power change: node.PowerOn, PowerOff, Rebooting, SoftPowerOff or SoftRebooting. timeout limits
// the change on the machine, 0 = what the service has configured. WaitPower waits for the end.
func (c *Client) SetPower(ctx context.Context, ident string, target node.PowerState, timeout time.Duration) error {
	body := map[string]any{"target": string(target)}
	if timeout > 0 {
		body["timeout"] = int(max(timeout/time.Second, 1))
	}
	return c.call(ctx, http.MethodPut, nodePath(ident, "states", "power"), body, nil)
}

// WaitPower looks at a node until no power change is under way and its power is as wanted, and returns it. It gives up
// when the change has ended otherwise.
func (c *Client) WaitPower(ctx context.Context, ident string, want node.PowerState) (*Node, error) {
	return c.wait(ctx, ident, fmt.Sprintf("power state %q", want), func(n *Node) (bool, bool) {
		rest := n.TargetPowerState == "" && n.Reservation == ""
		return rest && n.PowerState == want, rest && n.LastError != ""
	})
}

// wait polls a node until done or hopeless.
func (c *Client) wait(ctx context.Context, ident, wanted string, look func(*Node) (done, hopeless bool)) (*Node, error) {
	for {
		n, err := c.GetNode(ctx, ident)
		if err != nil {
			return nil, fmt.Errorf("waiting for %s of node %s: %w", wanted, ident, err)
		}
		if c.look != nil {
			c.look(ident, n)
		}
		done, hopeless := look(n)
		switch {
		case done:
			return n, nil
		case hopeless:
			return n, notReached(n, ident, wanted, nil)
		}
		select {
		case <-ctx.Done():
			return n, notReached(n, ident, wanted, context.Cause(ctx))
		case <-time.After(c.poll):
		}
	}
}

func notReached(n *Node, ident, wanted string, cause error) error {
	text := fmt.Sprintf("node %s: wanted %s, found provision state %q and power state %q", ident, wanted, n.ProvisionState, n.PowerState)
	if n.LastError != "" {
		text += ": " + n.LastError
	}
	if cause != nil {
		return fmt.Errorf("%s: %w", text, cause)
	}
	return fmt.Errorf("%s", text)
}

// SetMaintenance puts a node into maintenance; reason may be empty.
func (c *Client) SetMaintenance(ctx context.Context, ident, reason string) error {
	return c.call(ctx, http.MethodPut, nodePath(ident, "maintenance"), map[string]any{"reason": reason}, nil)
}

// UnsetMaintenance takes it out again.
func (c *Client) UnsetMaintenance(ctx context.Context, ident string) error {
	return c.call(ctx, http.MethodDelete, nodePath(ident, "maintenance"), nil, nil)
}

// Validity is what the service thinks of one interface of a node.
type Validity struct {
	Result *bool  `json:"result"` // nil = the driver has no such interface
	Reason string `json:"reason"`
}

// Validate checks a node's settings, by interface.
func (c *Client) Validate(ctx context.Context, ident string) (map[string]Validity, error) {
	var out map[string]Validity
	err := c.call(ctx, http.MethodGet, nodePath(ident, "validate"), nil, &out)
	return out, err
}
