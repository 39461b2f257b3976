// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"errors"

	"ferrite/bmc"
	"ferrite/node"
)

// ConsoleError is a key of driver_info: with it the fake console fails to start, and says this.
const ConsoleError = "fake_console_error"

// StartConsole waits the console's delay.
func (f *driver) StartConsole(ctx context.Context, n *node.Node, p bmc.Permit) error {
	if err := permitted(ctx, p); err != nil {
		return err
	}
	if err := f.wait(ctx, "console"); err != nil {
		return err
	}
	if text, _ := n.DriverInfo[ConsoleError].(string); text != "" {
		return errors.New(text)
	}
	return nil
}

// StopConsole likewise.
func (f *driver) StopConsole(ctx context.Context, _ *node.Node, p bmc.Permit) error {
	if err := permitted(ctx, p); err != nil {
		return err
	}
	return f.wait(ctx, "console")
}

// ConsoleInfo has nothing to tell.
func (*driver) ConsoleInfo(*node.Node) map[string]any { return map[string]any{} }
