// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package node

// stateFacts is what the rules need to know of one provision state (spec fsm.json states).
type stateFacts struct {
	Stable   bool  // may be a target; target_provision_state is cleared on arrival without work
	Unstable bool  // decides start and end of provision_set notifications
	Failure  bool  // a failed state: last_error survives a power action
	Wait     bool  // waits for an agent or hardware
	Hold     bool  // paused by a hold step
	Target   State // default target of a state on the way, "" = none
	Stuck    bool  // work that dies with its conductor and has no intent ends by event fail
	Patch    bool  // PATCH is allowed while a target is set
	NoSync   bool  // power sync passes by
	Lookup   bool  // an agent may look its node up
	Fast     bool  // an agent may look its node up with fast track
	Events   map[string]State
}

// fsm is the whole provision state machine: one row a state, its events and where they lead (spec fsm.json, 30 states,
// 93 transitions).
var fsm = map[State]stateFacts{
	Enroll:         {Stable: true, NoSync: true, Fast: true, Events: map[string]State{"manage": Verifying}},
	Manageable:     {Stable: true, Fast: true, Events: map[string]State{"provide": Cleaning, "clean": Cleaning, "inspect": Inspecting, "adopt": Adopting}},
	Available:      {Stable: true, Fast: true, Events: map[string]State{"deploy": Deploying, "manage": Manageable}},
	Active:         {Stable: true, Events: map[string]State{"rebuild": Deploying, "delete": Deleting, "rescue": Rescuing, "service": Servicing}},
	ErrorState:     {Stable: true, Patch: true, Events: map[string]State{"rebuild": Deploying, "delete": Deleting}},
	Rescue:         {Stable: true, Events: map[string]State{"rescue": Rescuing, "delete": Deleting, "unrescue": Unrescuing}},
	Verifying:      {Unstable: true, Stuck: true, Patch: true, Target: Manageable, Events: map[string]State{"done": Manageable, "fail": Enroll}},
	Deploying:      {Unstable: true, Stuck: true, Target: Active, Lookup: true, Fast: true, Events: map[string]State{"fail": DeployFailed, "wait": WaitCallBack, "hold": DeployHold, "done": Active}},
	WaitCallBack:   {Unstable: true, Wait: true, NoSync: true, Target: Active, Lookup: true, Fast: true, Events: map[string]State{"hold": DeployHold, "resume": Deploying, "fail": DeployFailed, "abort": DeployFailed, "delete": Deleting}},
	DeployFailed:   {Failure: true, Patch: true, Target: Active, Events: map[string]State{"rebuild": Deploying, "deploy": Deploying, "delete": Deleting}},
	DeployHold:     {Hold: true, Target: Active, Events: map[string]State{"unhold": WaitCallBack, "abort": DeployFailed}},
	Cleaning:       {Unstable: true, Stuck: true, Target: Available, Lookup: true, Fast: true, Events: map[string]State{"done": Available, "fail": CleanFailed, "wait": CleanWait, "hold": CleanHold, "manage": Manageable}},
	CleanWait:      {Unstable: true, Wait: true, NoSync: true, Target: Available, Lookup: true, Fast: true, Events: map[string]State{"fail": CleanFailed, "abort": CleanFailed, "hold": CleanHold, "resume": Cleaning}},
	CleanFailed:    {Failure: true, Patch: true, Target: Available, Events: map[string]State{"manage": Manageable}},
	CleanHold:      {Hold: true, Target: Available, Events: map[string]State{"abort": CleanFailed, "unhold": CleanWait}},
	Deleting:       {Unstable: true, Stuck: true, Target: Available, Events: map[string]State{"fail": ErrorState, "clean": Cleaning}},
	Inspecting:     {Unstable: true, Stuck: true, Patch: true, Target: Manageable, Lookup: true, Fast: true, Events: map[string]State{"done": Manageable, "fail": InspectFailed, "wait": InspectWait}},
	InspectFailed:  {Failure: true, Patch: true, Target: Manageable, Events: map[string]State{"manage": Manageable, "inspect": Inspecting}},
	InspectWait:    {Unstable: true, Wait: true, Patch: true, Target: Manageable, Lookup: true, Fast: true, Events: map[string]State{"done": Manageable, "fail": InspectFailed, "abort": InspectFailed, "resume": Inspecting}},
	Adopting:       {Unstable: true, Stuck: true, Target: Active, Events: map[string]State{"done": Active, "fail": AdoptFailed}},
	AdoptFailed:    {Failure: true, Patch: true, NoSync: true, Target: Active, Events: map[string]State{"adopt": Adopting, "manage": Manageable}},
	Rescuing:       {Unstable: true, Stuck: true, Target: Rescue, Lookup: true, Fast: true, Events: map[string]State{"done": Rescue, "wait": RescueWait, "fail": RescueFailed}},
	RescueWait:     {Unstable: true, Wait: true, Target: Rescue, Lookup: true, Fast: true, Events: map[string]State{"resume": Rescuing, "fail": RescueFailed, "abort": RescueFailed, "delete": Deleting}},
	RescueFailed:   {Failure: true, Patch: true, Target: Rescue, Events: map[string]State{"rescue": Rescuing, "unrescue": Unrescuing, "delete": Deleting}},
	Unrescuing:     {Unstable: true, Stuck: true, Target: Active, Events: map[string]State{"done": Active, "fail": UnrescueFailed}},
	UnrescueFailed: {Failure: true, Patch: true, Target: Active, Events: map[string]State{"rescue": Rescuing, "unrescue": Unrescuing, "delete": Deleting}},
	Servicing:      {Unstable: true, Stuck: true, Target: Active, Fast: true, Events: map[string]State{"done": Active, "fail": ServiceFailed, "wait": ServiceWait, "hold": ServiceHold}},
	ServiceWait:    {Unstable: true, Wait: true, Target: Active, Lookup: true, Fast: true, Events: map[string]State{"hold": ServiceHold, "resume": Servicing, "fail": ServiceFailed, "abort": ServiceFailed, "delete": Deleting}},
	ServiceFailed:  {Failure: true, Patch: true, Target: Active, Events: map[string]State{"service": Servicing, "rescue": Rescuing, "wait": ServiceWait, "hold": ServiceHold, "delete": Deleting, "abort": Active}},
	ServiceHold:    {Hold: true, Patch: true, Target: Active, Fast: true, Events: map[string]State{"service": Servicing, "unhold": ServiceWait, "fail": ServiceFailed, "abort": ServiceFailed}},
}

// verb is one target of PUT states/provision (spec fsm.json verbs).
type verb struct {
	Event  string
	Since  int           // minimum microversion, 4 = 1.4
	States map[State]int // abort: minimum microversion by state
}

// verbs are the targets that PUT states/provision takes.
var verbs = map[string]verb{
	"active":   {Event: "deploy", Since: 1},
	"deploy":   {Event: "deploy", Since: 73},
	"rebuild":  {Event: "rebuild", Since: 1},
	"deleted":  {Event: "delete", Since: 1},
	"undeploy": {Event: "delete", Since: 73},
	"manage":   {Event: "manage", Since: 4},
	"provide":  {Event: "provide", Since: 4},
	"inspect":  {Event: "inspect", Since: 6},
	"abort":    {Event: "abort", Since: 13, States: map[State]int{CleanWait: 13, RescueWait: 38, InspectWait: 41, CleanHold: 85, DeployHold: 85, ServiceWait: 87, ServiceHold: 87, ServiceFailed: 87, WaitCallBack: 110}},
	"clean":    {Event: "clean", Since: 15},
	"adopt":    {Event: "adopt", Since: 17},
	"rescue":   {Event: "rescue", Since: 38},
	"unrescue": {Event: "unrescue", Since: 38},
	"unhold":   {Event: "unhold", Since: 85},
	"service":  {Event: "service", Since: 87},
}

// StateKnown reports whether s is one of the FSM's states.
func StateKnown(s State) bool { _, ok := fsm[s]; return ok }

// VerbSince tells the minimum microversion of a provision verb, by the node's state where that matters (abort).
func VerbSince(target string, s State) (minor int, known bool) {
	v, ok := verbs[target]
	if !ok {
		return 0, false
	}
	if m, ok := v.States[s]; ok {
		return m, true
	}
	return v.Since, true
}

// Next is where an event leads from a state.
func Next(s State, event string) (State, bool) { t, ok := fsm[s].Events[event]; return t, ok }

// Unstable reports whether a state is on Ironic's list that decides between start and end notifications.
func (s State) Unstable() bool { return fsm[s].Unstable }

// Stable reports whether a state may be a target.
func (s State) Stable() bool { return fsm[s].Stable }
