// Threeway takes a third party into what two services say to each other. Orders and ledger have a link, a
// Mendlink connection over TCP. They make an MLS group of it, over the link itself, and write to a board that
// anybody may look at. Then they take in an auditor, who reads what is written from then on and nothing of
// before, and let it go again, after which it reads nothing. The link lives on all the while.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: the auditor has read what was written while it was there, and nothing else")
}

func run(ctx context.Context) error {
	orders, ledger, auditor, err := newParties()
	if err != nil {
		return err
	}
	link, err := connect(ctx, orders, ledger)
	if err != nil {
		return err
	}
	defer link.close()
	if err := link.works(ctx); err != nil {
		return err
	}
	log.Printf("orders and ledger have a link; its keys have changed already: epoch %d", link.epoch())

	if err := link.branch(); err != nil {
		return fmt.Errorf("branching: %w", err)
	}
	var board board
	first, err := board.write(orders, "invoice 1: 100 for paper", ledger)
	if err != nil {
		return err
	}
	log.Print("they have made a group of it; orders writes to the board, and ledger reads")

	if err := takeIn(orders, ledger, auditor); err != nil {
		return fmt.Errorf("taking the auditor in: %w", err)
	}
	log.Printf("orders adds the auditor: there are %d in the group now", len(auditor.group.Members()))
	if err := cannotRead(auditor, board[first]); err != nil {
		return err
	}
	log.Print("the auditor looks at the board: it cannot read what is there")

	if _, err := board.write(ledger, "invoice 2: 30 for ink", orders, auditor); err != nil {
		return err
	}
	if _, err := board.write(auditor, "seen, nothing to add", orders, ledger); err != nil {
		return err
	}
	log.Print("ledger writes: the auditor reads along; the auditor writes: the two read it")

	if err := link.works(ctx); err != nil {
		return err
	}
	log.Printf("the link is where it was, and heals: epoch %d", link.epoch())

	if err := letGo(ledger, orders, auditor); err != nil {
		return fmt.Errorf("letting the auditor go: %w", err)
	}
	third, err := board.write(orders, "invoice 3: 7 for glue", ledger)
	if err != nil {
		return err
	}
	if err := cannotRead(auditor, board[third]); err != nil {
		return err
	}
	log.Print("ledger removes the auditor; orders writes: ledger reads, the auditor does not")

	link.close()
	if _, err := board.write(ledger, "good night", orders); err != nil {
		return err
	}
	log.Print("the link is closed: the group goes on without it")
	return nil
}
