// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ferrite/notify"
)

func newNotifications() *cobra.Command {
	return group("notifications", "Watch what a conductor tells the world",
		"Ironic's versioned notifications, as a conductor publishes them on NATS.",
		"  ferrite notifications tail\n  ferrite notifications replay --from oldest", newNotificationsTail(), newNotificationsReplay())
}

func newNotificationsTail() *cobra.Command {
	var url, subject, output string
	var count int
	c := &cobra.Command{
		Use: "tail", Short: "Print notifications as they come, one line each", Args: noArgs,
		Long: `Print notifications as they come, one line each, until Ctrl-C.

Subjects are ironic_versioned_notifications.<priority>.<event_type>; NATS's wildcards choose among them.`,
		Example: "  ferrite notifications tail\n" +
			"  ferrite notifications tail --subject 'ironic_versioned_notifications.error.>'\n" +
			"  ferrite notifications tail --subject '*.*.baremetal.node.power_state_corrected.*'\n" +
			"  ferrite notifications tail -o json | jq .payload",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "text", "json"); err != nil {
				return err
			}
			out, colour := c.OutOrStdout(), paletteFor(c.OutOrStdout())
			enough, left := errors.New("enough"), count
			err := notify.Subscribe(c.Context(), url, subject,
				func() {
					fmt.Fprintf(c.ErrOrStderr(), "listening to %s at %s; Ctrl-C ends\n", subject, withoutPassword(url))
				},
				func(h notify.Heard, err error) error {
					switch {
					case output == "json":
						fmt.Fprintf(out, "%s\n", h.Raw)
					case err != nil:
						fmt.Fprintln(out, colour.paint(yellow, plain(err.Error())))
					default:
						fmt.Fprintln(out, eventLine(h, colour))
					}
					if left--; left == 0 {
						return enough
					}
					return nil
				})
			if errors.Is(err, enough) {
				return nil
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&url, "nats-url", "nats://127.0.0.1:4222", "where NATS is")
	f.StringVar(&subject, "subject", notify.AllSubjects, "which notifications")
	f.StringVarP(&output, "output", "o", "text", "text, or json: the bodies as they are")
	f.IntVar(&count, "count", 0, "end after so many, 0 = never")
	return c
}

// statusColours are by the last word of an event type.
var statusColours = map[string]string{"start": cyan, "end": green, "success": green, "error": red, "down": red, "late": yellow, "up": green}

// eventLine is one notification for people: time, what it is about, event, what has changed.
func eventLine(h notify.Heard, colour palette) string {
	about := cmp.Or(word(h.Data, "name"), word(h.Data, "uuid"), word(h.Data, "subnet"))
	event := strings.TrimPrefix(strings.TrimPrefix(h.Event, "baremetal."), "ferrite.")
	status := event[strings.LastIndex(event, ".")+1:]
	line := fmt.Sprintf("%s  %-12s %s", colour.paint(dim, h.At.Local().Format("15:04:05.000")), plain(about),
		colour.paint(statusColours[status], fmt.Sprintf("%-34s", plain(event))))
	return strings.TrimRight(line+" "+plain(eventDetail(event, status, h.Data)), " ")
}

// eventDetails say what an event is about, by the action in its type.
var eventDetails = map[string]func(d map[string]any) string{
	"power_set":             func(d map[string]any) string { return "to " + word(d, "to_power") },
	"power_state_corrected": func(d map[string]any) string { return change(d, "from_power", "power_state") },
	"provision_set": func(d map[string]any) string {
		return change(d, "previous_provision_state", "provision_state") + " by " + word(d, "event")
	},
	"maintenance_set": func(d map[string]any) string {
		if d["maintenance"] != true {
			return "off"
		}
		return strings.TrimRight("on: "+word(d, "maintenance_reason"), ": ")
	},
	"create": func(d map[string]any) string { return word(d, "driver") + word(d, "address") },
	"down":   subnetDetail,
	"late":   subnetDetail,
	"up":     subnetDetail,
}

// subnetDetail is of a rack that fails as a whole.
func subnetDetail(d map[string]any) string {
	return fmt.Sprintf("%v of %v BMCs fail: %s", d["failing"], d["nodes"], word(d, "text"))
}

func eventDetail(event, status string, d map[string]any) string {
	parts := strings.Split(event, ".")
	text := ""
	if f := eventDetails[parts[min(1, len(parts)-1)]]; f != nil {
		text = f(d)
	}
	if reason := word(d, "last_error"); reason != "" && status == "error" {
		text += ": " + reason
	}
	return text
}

func change(d map[string]any, from, to string) string {
	return cmp.Or(word(d, from), "unknown") + " -> " + cmp.Or(word(d, to), "unknown")
}

// word is a payload's string, "" for null and anything else.
func word(d map[string]any, key string) string {
	s, _ := d[key].(string)
	return s
}
