package main

import (
	"fmt"
	"log"
	"slices"
	"strings"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/peer"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// peerOperations are the operations that peers execute too, by our name for them.
var peerOperations = map[string]string{
	report.Handshake:    "handshake",
	report.CreateFresh:  "create",
	report.ProcessFresh: "process",
	report.AddFresh:     "add",
	report.JoinFresh:    "join",
	report.Protect:      "protect",
	report.Unprotect:    "unprotect",
}

func peerNames() string {
	var names []string
	for _, p := range peer.All {
		names = append(names, p.Name)
	}
	return strings.Join(names, ",")
}

// startPeers starts those peers that the options ask for. One whose tools are not
// there is left out, and that is said.
func startPeers(o *options) (peers []*peer.Process, err error) {
	if o.peers == "none" {
		return nil, nil
	}
	wanted := strings.Split(o.peers, ",")
	for _, name := range wanted {
		known := func(p *peer.Peer) bool { return p.Name == name }
		if name != "auto" && !slices.ContainsFunc(peer.All, known) {
			return nil, fmt.Errorf("no peer %q, only %s", name, peerNames())
		}
	}
	for _, p := range peer.All {
		if o.peers != "auto" && !slices.Contains(wanted, p.Name) {
			continue
		}
		if err := p.Missing(); err != nil {
			bar := strings.Repeat("!", 72)
			log.Printf("%s\n!! NOT MEASURED: %s: %v\n%s", bar, p.Name, err, bar)
			continue
		}
		log.Printf("building %s", p.Name)
		process, err := p.Start(o.peerDir)
		if err != nil {
			closePeers(peers)
			return nil, err
		}
		peers = append(peers, process)
	}
	return peers, nil
}

func closePeers(peers []*peer.Process) {
	for _, p := range peers {
		if err := p.Close(); err != nil {
			log.Printf("%s: %v", p.Name, err)
		}
	}
}

// withSuite returns those peers that have a suite.
func withSuite(peers []*peer.Process, suite ciphersuite.ID) []*peer.Process {
	return slices.DeleteFunc(slices.Clone(peers), func(p *peer.Process) bool { return !p.Has(suite) })
}

// inGroup returns those peers that are measured in groups of a size, each in such
// a group.
func inGroup(peers []*peer.Process, suite ciphersuite.ID, members int) ([]*peer.Process, error) {
	var ready []*peer.Process
	for _, p := range peers {
		if members > p.MaxMembers {
			continue
		}
		if err := p.NewGroup(suite, members); err != nil {
			return nil, err
		}
		ready = append(ready, p)
	}
	return ready, nil
}

// peerContestants returns what peers have of one of our operations.
func peerContestants(peers []*peer.Process, ours string) []contestant {
	name, ok := peerOperations[ours]
	if !ok {
		return nil
	}
	var all []contestant
	for _, p := range peers {
		all = append(all, contestant{p.Name, p.Operation(name)})
	}
	return all
}

// A contestant is measured in turn with others.
type contestant struct {
	who string
	measure.Subject
}
