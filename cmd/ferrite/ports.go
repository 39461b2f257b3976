// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// portTries is how many ports above a taken one are tried before any free one will do.
const portTries = 20

// elsewhere tries an address and then, while its port is taken, the ones above it. use is told each address and must
// say with EADDRINUSE when it is taken. It returns the address in use; moved when it is not the one asked for.
func elsewhere(address string, use func(address string) error) (got string, moved bool, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", false, usageError{fmt.Errorf("%q is no address: wanted host:port", address)}
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", false, usageError{fmt.Errorf("%q is no address: wanted a port from 0 to 65535", address)}
	}
	for try := range portTries + 2 {
		p := port + try
		if try > portTries || p > 65535 {
			p = 0
		}
		got = net.JoinHostPort(host, strconv.Itoa(p))
		err = use(got)
		if err == nil || port == 0 || p == 0 || !errors.Is(err, syscall.EADDRINUSE) {
			return got, try > 0, err
		}
	}
	return got, true, err
}
