// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
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

// quietPorts finds ports for processes that start later, or are started again. They are below those that the system gives to who
// asks for any port and to outgoing connections: nobody gets one of them by chance meanwhile.
type quietPorts struct{ tried int }

const firstQuiet, quietCount = 12000, 8000

// next is an address of a host that nobody listens at and that was not given out before.
func (q *quietPorts) next(host string) (string, error) {
	if q.tried == 0 {
		q.tried = 1 + rand.IntN(quietCount)
	}
	for range quietCount {
		q.tried++
		address := net.JoinHostPort(host, strconv.Itoa(firstQuiet+q.tried%quietCount))
		switch err := listenTCP(address); {
		case err == nil:
			return address, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return "", err
		}
	}
	return "", fmt.Errorf("no port of %s from %d to %d is free: wanted some for the conductors of the demo", host, firstQuiet, firstQuiet+quietCount-1)
}
