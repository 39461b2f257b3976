// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"net/http"

	"ferrite/node"
)

// routes is everything that the API can be asked (spec api-endpoints.md). A new endpoint is a line here.
func routes() []route {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const bad = http.StatusBadRequest
	const command, bulk = node.RankCommand, node.RankBulk
	return []route{
		{method: post, path: "/nodes", handle: createNode, noHost: bad, rank: bulk},
		{method: get, path: "/nodes", handle: listNodes, rank: bulk},
		{method: patch, path: "/nodes", handle: missingIdent("node_ident"), local: true},
		{method: del, path: "/nodes", handle: missingIdent("node_ident"), local: true},
		{method: get, path: "/nodes/detail", handle: listNodesDetail, rank: bulk},
		{method: get, path: "/nodes/validate", asks: true, handle: validateNode},
		{method: get, path: "/nodes/{node}", handle: showNode},
		{method: patch, path: "/nodes/{node}", handle: patchNode, noHost: bad},
		{method: del, path: "/nodes/{node}", handle: deleteNode, noHost: bad},
		{method: get, path: "/nodes/{node}/{field}", handle: showNodeField},
		{method: get, path: "/nodes/{node}/validate", asks: true, handle: validateNode},

		{method: get, path: "/nodes/{node}/states", handle: showStates},
		{method: put, path: "/nodes/{node}/states/power", asks: true, handle: setPower, rank: command},
		{method: put, path: "/nodes/{node}/states/provision", asks: true, handle: setProvision, rank: command},
		{method: put, path: "/nodes/{node}/states/raid", asks: true, since: 12, old: notMine, handle: setRaid},
		{method: get, path: "/nodes/{node}/states/console", asks: true, handle: showConsole},
		{method: put, path: "/nodes/{node}/states/console", asks: true, handle: setConsole, rank: command},
		{method: put, path: "/nodes/{node}/states/boot_mode", asks: true, since: 76, old: gonePlain, handle: setBootMode, rank: command},
		{method: put, path: "/nodes/{node}/states/secure_boot", asks: true, since: 76, old: gonePlain, handle: setSecureBoot, rank: command},

		{method: put, path: "/nodes/{node}/maintenance", handle: setMaintenance, noHost: bad, rank: command},
		{method: del, path: "/nodes/{node}/maintenance", handle: clearMaintenance, noHost: bad, rank: command},
		{method: get, path: "/nodes/{node}/management/boot_device", asks: true, handle: showBootDevice},
		{method: put, path: "/nodes/{node}/management/boot_device", asks: true, handle: setBootDevice, rank: command},
		{method: get, path: "/nodes/{node}/management/boot_device/supported", asks: true, handle: showBootDevices},
		{method: put, path: "/nodes/{node}/management/inject_nmi", asks: true, since: 29, old: gonePlain, handle: injectNMI, rank: command},
		{method: get, path: "/nodes/{node}/management/indicators", asks: true, handle: listIndicators},
		{method: get, path: "/nodes/{node}/management/indicators/{name}", asks: true, handle: showIndicator},
		{method: put, path: "/nodes/{node}/management/indicators/{name}", asks: true, handle: setIndicator, rank: command},

		{method: get, path: "/nodes/{node}/traits", since: 37, old: notMine, handle: listTraits},
		{method: put, path: "/nodes/{node}/traits", since: 37, old: notAllowed, handle: setTraits},
		{method: del, path: "/nodes/{node}/traits", since: 37, handle: clearTraits},
		{method: put, path: "/nodes/{node}/traits/{trait}", since: 37, old: notAllowed, handle: addTrait},
		{method: del, path: "/nodes/{node}/traits/{trait}", since: 37, handle: removeTrait},

		{method: get, path: "/nodes/{node}/vifs", asks: true, since: 28, handle: listVIFs},
		{method: post, path: "/nodes/{node}/vifs", asks: true, since: 28, handle: attachVIF},
		{method: del, path: "/nodes/{node}/vifs/{vif}", asks: true, since: 28, handle: detachVIF},
		{method: get, path: "/nodes/{node}/bios", since: 40, handle: emptyList("bios", "detail", "fields")},
		{method: get, path: "/nodes/{node}/bios/{setting}", since: 40, handle: showBIOSSetting},
		{method: get, path: "/nodes/{node}/firmware", since: 86, handle: emptyList("firmware", "fields")},
		{method: get, path: "/nodes/{node}/history", since: 78, handle: listHistory},
		{method: get, path: "/nodes/{node}/history/detail", since: 78, handle: listHistoryDetail},
		{method: get, path: "/nodes/{node}/history/{event}", since: 78, handle: showHistory},
		{method: get, path: "/nodes/{node}/inventory", since: 81, handle: absent("No inventory of node %s: it has not been inspected.")},
		{method: get, path: "/nodes/{node}/children", since: 83, handle: listChildren},
		{method: get, path: "/nodes/{node}/allocation", since: 52, handle: absent("Node %s has no allocation.")},
		{method: del, path: "/nodes/{node}/allocation", since: 52, handle: absent("Node %s has no allocation.")},
		{method: get, path: "/nodes/{node}/vmedia", asks: true, since: 93, handle: unsupported("virtual media")},
		{method: post, path: "/nodes/{node}/vmedia", asks: true, since: 89, handle: unsupported("attach_virtual_media")},
		{method: del, path: "/nodes/{node}/vmedia", asks: true, since: 89, handle: unsupported("detach_virtual_media")},
		{method: get, path: "/nodes/{node}/vendor_passthru/methods", asks: true, handle: listMethods},
		{method: get, path: "/nodes/{node}/vendor_passthru", asks: true, handle: callMethod, rank: command},
		{method: post, path: "/nodes/{node}/vendor_passthru", asks: true, handle: callMethod, rank: command},
		{method: put, path: "/nodes/{node}/vendor_passthru", asks: true, handle: callMethod, rank: command},
		{method: del, path: "/nodes/{node}/vendor_passthru", asks: true, handle: callMethod, rank: command},
		{method: get, path: "/nodes/{node}/vendor_passthru/{method}", asks: true, handle: callMethod, rank: command},
		{method: post, path: "/nodes/{node}/vendor_passthru/{method}", asks: true, handle: callMethod, rank: command},
		{method: put, path: "/nodes/{node}/vendor_passthru/{method}", asks: true, handle: callMethod, rank: command},
		{method: del, path: "/nodes/{node}/vendor_passthru/{method}", asks: true, handle: callMethod, rank: command},

		{method: get, path: "/nodes/{node}/ports", handle: listNodePorts},
		{method: get, path: "/nodes/{node}/ports/detail", handle: listNodePortsDetail},
		{method: get, path: "/nodes/{node}/portgroups", since: 24, handle: emptyPage("portgroups")},
		{method: get, path: "/nodes/{node}/portgroups/detail", since: 24, handle: emptyPage("portgroups")},
		{method: get, path: "/nodes/{node}/volume", since: 32, handle: showVolume},
		{method: get, path: "/nodes/{node}/volume/connectors", since: 32, handle: emptyPage("connectors")},
		{method: get, path: "/nodes/{node}/volume/targets", since: 32, handle: emptyPage("targets")},

		{method: post, path: "/ports", handle: createPort, rank: bulk},
		{method: get, path: "/ports", handle: listPorts, rank: bulk},
		{method: get, path: "/ports/detail", handle: listPortsDetail, rank: bulk},
		{method: get, path: "/ports/{port}", handle: showPort},
		{method: patch, path: "/ports/{port}", handle: patchPort},
		{method: del, path: "/ports/{port}", handle: deletePort},

		{method: get, path: "/drivers", handle: listDrivers, local: true},
		{method: get, path: "/drivers/properties", handle: showDriverProperties, local: true},
		{method: get, path: "/drivers/{driver}", handle: showDriver, local: true},
		{method: get, path: "/drivers/{driver}/properties", handle: showDriverProperties, local: true},
		{method: get, path: "/drivers/{driver}/raid/logical_disk_properties", since: 12, old: notMine, handle: showDiskProperties, local: true},
		{method: get, path: "/drivers/{driver}/vendor_passthru/methods", handle: listDriverMethods, local: true},

		{method: get, path: "/conductors", since: 49, old: gonePlain, handle: listConductors},
		{method: get, path: "/conductors/{conductor}", since: 49, old: gonePlain, handle: showConductor},
		{method: get, path: "/x/notifications", handle: listNotifications, rank: bulk},
		{method: post, path: "/x/nodes/{node}/release", handle: releaseNode, rank: command},
		{method: get, path: "/x/nodes/{node}/sensors", handle: showSensors},
		{method: get, path: "/x/nodes/{node}/events", handle: showEvents},
		{method: del, path: "/x/nodes/{node}/events", handle: clearEvents, rank: command},
		{method: put, path: "/x/nodes/{node}/identify", handle: identifyNode, rank: command},
		{method: get, path: "/x/backup", handle: writeBackup, rank: bulk},
		{method: get, path: "/x/summary", handle: summarize, rank: bulk},
		{method: get, path: "/x/cluster", handle: showCluster, local: true},
		{method: get, path: "/x/cluster/owners", handle: showOwners, rank: bulk},
		{method: get, path: "/x/cluster/owners/{node}", handle: showOwner},
		{method: put, path: "/x/cluster/self", handle: setSelf, local: true, rank: command},
		{method: del, path: "/x/cluster/members/{conductor}", handle: evictMember, local: true, rank: command},
		{method: get, path: "/x/secrets", handle: showKey, local: true},
		{method: post, path: "/x/secrets/rotate", handle: rotateKey, local: true},
		{method: post, path: "/x/secrets/drop", handle: dropKey, local: true},

		{method: get, path: "/shards", since: 82, oldText: "The API version does not allow shards", handle: listShards, rank: bulk},
	}
}
