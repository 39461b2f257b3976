// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestASendThatNobodyReadsEnds: raft's reader of a pipeline goes when a follower knows a newer term. What is sent after that
// must not wait for ever, or raft would never end.
func TestASendThatNobodyReadsEnds(t *testing.T) {
	for name, patience := range map[string]time.Duration{"by the end of the port": time.Hour, "by itself": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			open := func() *raft.NetworkTransport {
				n, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, rpcTime, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = n.Close() })
				return n
			}
			far, near := open(), open()
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for {
					select {
					case rpc := <-far.Consumer():
						rpc.Respond(&raft.AppendEntriesResponse{Term: 9}, nil)
					case <-stop:
						return
					}
				}
			}()
			ending := make(chan struct{})
			p, err := (&transport{near, ending, patience}).AppendEntriesPipeline("far", far.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			sent, ended := make(chan struct{}, 100), make(chan error, 1)
			go func() {
				for range 100 {
					if _, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{}); err != nil {
						ended <- err
						return
					}
					sent <- struct{}{}
				}
				ended <- nil
			}()
			<-sent // the first one needs no reader
			if patience == time.Hour {
				close(ending)
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("100 sends found somebody to read their answers")
				}
			case <-time.After(60 * time.Second):
				t.Fatal("a send waits for a reader that is gone")
			}
		})
	}
}
