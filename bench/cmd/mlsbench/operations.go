package main

import (
	"github.com/mendlink/mendlink/bench/internal/floor"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/ours"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An operation is one of ours, and what it cannot avoid.
type operation struct {
	name     string
	op       measure.Op
	floor    floor.Counts // zero: there is nothing to compare to
	parallel bool         // may use all cores
}

// operationsIn returns what is measured in groups of a size. A group of two is
// fresh and warm at once.
func operationsIn(s *ciphersuite.Suite, fresh, warm *ours.Group, members int) (list []operation, err error) {
	if members == 2 {
		op, err := ours.Handshake(s)
		if err != nil {
			return nil, err
		}
		list = append(list, operation{name: report.Handshake, op: op, floor: floor.Handshake()})
	}
	names := treeNames{report.CreateFresh, report.ProcessFresh, report.AddFresh, report.JoinFresh}
	if list, err = appendTree(list, fresh, names, floor.CreateFresh(members), members); err != nil {
		return nil, err
	}
	if members > 2 {
		names := treeNames{report.CreateWarm, report.ProcessWarm, report.AddWarm, report.JoinWarm}
		if list, err = appendTree(list, warm, names, floor.CreateWarm(members), members); err != nil {
			return nil, err
		}
	}
	unprotect, err := fresh.Unprotect()
	if err != nil {
		return nil, err
	}
	restore, err := fresh.Restore()
	if err != nil {
		return nil, err
	}
	return append(list,
		operation{name: report.Protect, op: fresh.Protect(), floor: floor.Protect()},
		operation{name: report.Unprotect, op: unprotect, floor: floor.Unprotect()},
		operation{name: report.Marshal, op: fresh.Marshal()},
		operation{name: report.Restore, op: restore},
	), nil
}

// treeNames are what operations are called that depend on the tree.
type treeNames struct{ create, process, add, join string }

func appendTree(list []operation, g *ours.Group, names treeNames, create floor.Counts, members int) ([]operation, error) {
	process, err := g.Process()
	if err != nil {
		return nil, err
	}
	add, err := g.Add()
	if err != nil {
		return nil, err
	}
	return append(list,
		operation{name: names.create, op: g.Create(), floor: create, parallel: true},
		operation{name: names.process, op: process, floor: floor.Process()},
		operation{name: names.add, op: add, floor: floor.AddMember()},
		operation{name: names.join, op: g.Join(), floor: floor.Join(members), parallel: true},
	), nil
}
