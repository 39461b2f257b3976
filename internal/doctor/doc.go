// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor looks at the machine under a conductor and says what is in order, what is not, and what to do about it.
//
// # Usage
//
//	all := doctor.Folder("/var/lib/ferrite", 0)
//	all = append(all, doctor.Clock()...)
//	fmt.Println(doctor.Counted(all))
//
// Each look is a function that returns findings. Probe asks a BMC what it answers to anybody: no session is opened, none
// of its slots is taken.
//
// # Concurrency
//
// All functions may be called at once from anywhere.
//
// # Failure
//
// What cannot be looked at is a finding too, a warning that says why. Nothing is changed but for one small file, which is
// written and removed again to time the disk.
package doctor
