// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package ferrite_test

// place is where a package stands in the house.
type place struct {
	layer int      // 0 is the ground; imports point down, or to a package of the same layer that this one lies in
	may   []string // packages of ours that its files may import, besides internal/*; tests may import anything
	why   string
}

// rules are the packages without IO; contracts are what layer 2 may see of layer 1. Drivers, servers, simulators and
// suites are no contracts: who uses a contract must not know who fulfils it.
var (
	rules     = []string{"node", "inventory"}
	contracts = append([]string{"bmc", "command", "httpapi/wire", "notify", "persistence"}, rules...)
	parts     = append([]string{"actors", "bmc/fake", "bmc/ipmi", "bmc/redfish", "cluster", "console", "httpapi", "notify/embedded", "notify/nova", "web"}, contracts...)
)

// house is the map: each package of ours, what it may import, and why so. Packages that are planned have their row too.
var house = map[string]place{
	"": {0, nil, "the root holds tests of the house only"},

	"node":      {0, nil, "the rules of a node: pure, so that they can be replayed and told as stories"},
	"inventory": {0, []string{"node"}, "the rules of what hangs on a node; it speaks node's words"},

	"bmc":                   {1, rules, "what we ask of a BMC, about a node"},
	"bmc/bmctest":           {1, append([]string{"bmc"}, rules...), "the suite of all drivers knows the contract, no driver"},
	"bmc/fake":              {1, append([]string{"bmc"}, rules...), "a driver knows the contract, no other driver"},
	"bmc/ipmi":              {1, append([]string{"bmc"}, rules...), "a driver knows the contract, no other driver"},
	"bmc/redfish":           {1, append([]string{"bmc"}, rules...), "a driver knows the contract, no other driver"},
	"command":               {1, rules, "hop bytes of requests to a node, both ways"},
	"cluster":               {1, nil, "membership and placement know names and keys, not nodes"},
	"httpapi/wire":          {1, rules, "Ironic's JSON of nodes and ports, both ways"},
	"notify":                {1, rules, "notices of the rules become Ironic's notifications"},
	"notify/embedded":       {1, nil, "a NATS server knows nothing of ours"},
	"notify/nova":           {1, append([]string{"notify"}, rules...), "Nova's callback: a second reader of the outbox, by notify's own contract"},
	"persistence":           {1, rules, "records of the log hold nodes and ports"},
	"persistence/storetest": {1, append([]string{"persistence"}, rules...), "the suite of all stores knows the contract"},
	"sim":                   {1, nil, "shares nothing with the driver that it referees, so no misreading of IPMI can hide"},

	"actors":  {2, contracts, "steps the rules, commits, acts; peers meet through interfaces that the user declares"},
	"client":  {2, contracts, "the API from outside: its words, none of the server"},
	"console": {2, contracts, "sessions of a BMC, kept by the log"},
	"httpapi": {2, contracts, "reads the replica, hands commands over; it does not know that actors exist"},
	"web":     {2, contracts, "pages that talk to the API alone"},

	"conductor": {3, parts, "wires all parts; the only one that knows them all, and no simulator"},

	"bench": {4, append([]string{"bmc/ipmi", "client", "cluster", "conductor", "sim"}, contracts...), "measures from outside: the whole, and the parts whose cost the docs name"},

	"cmd/ferrite": {5, append([]string{"bench", "conductor", "sim", "client", "bmc/fake", "notify/embedded", "notify/nova"}, contracts...), "flags, subcommands, signals; names the parts' settings, so it sees their Config"},
	"test":        {5, append([]string{"bench", "conductor", "sim", "client"}, contracts...), "drives the real binary"},
}

// fence says that a library stays behind our own door.
type fence struct {
	module string   // an import path; paths below it are fenced as well
	only   []string // packages of ours that may see it
	why    string
}

// fences are the libraries that are hard to leave again, or easy to misuse. Any package may use the others.
var fences = []fence{
	{"github.com/bougou/go-ipmi", []string{"bmc/ipmi", "sim"}, "its client can be crashed by one datagram and believes unauthenticated replies (docs/adr/0007)"},
	{"github.com/asynkron/protoactor-go", []string{"actors", "cluster"}, "actors are how we run rules, not what the rules are; global defaults stay in one place"},
	{"github.com/hashicorp/raft", []string{"persistence"}, "all others see a log with conditions, not raft"},
	{"github.com/hashicorp/raft-wal", []string{"persistence"}, "all others see a log with conditions, not its file"},
	{"github.com/dgraph-io/badger", []string{"persistence"}, "the state machine is written by applying the log and by nothing else"},
	{"github.com/hashicorp/memberlist", []string{"cluster"}, "membership is a View to all others"},
	{"github.com/nats-io", []string{"notify", "notify/embedded"}, "a notification is bytes in the log to all others"},
	{"github.com/valyala/fasthttp", []string{"httpapi"}, "its requests are reused after the handler returns: nobody else may hold one"},
	{"github.com/fasthttp", []string{"httpapi"}, "its requests are reused after the handler returns: nobody else may hold one"},
	{"github.com/stmcginnis/gofish", []string{"bmc/redfish"}, "a protocol stays in its driver"},
	{"github.com/spf13/cobra", []string{"cmd/ferrite"}, "libraries do not parse command lines"},
	{"github.com/knadh/koanf", []string{"internal/config"}, "settings are one table"},
	{"github.com/prometheus/client_golang", []string{"conductor"}, "parts offer Stats; the conductor turns them into metrics"},
}

// purity is what the packages without IO may import of the standard library, and what of package time they may not use.
var purity = struct {
	packages, stdlib, time []string
	why                    string
}{
	[]string{"node", "inventory"},
	[]string{
		"bytes", "cmp", "crypto/sha1", "encoding/binary", "encoding/hex", "errors", "fmt", "iter", "maps", "math", "math/bits", "net/netip", "reflect",
		"regexp", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	},
	[]string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
	"the rules see no disk, no network, no clock and no chance: these arrive in Env",
}
