package driver

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestAGateHasSoManyPlaces(t *testing.T) {
	g := NewGate(2)
	var leaves []func()
	for range 2 {
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	ended, end := context.WithCancelCause(t.Context())
	late := errors.New("too late")
	end(late)
	if _, err := g.Enter(ended); err != late {
		t.Errorf("a third one: error %v, want %v", err, late)
	}
	leaves[0]()
	leaves[0]() // makes no second place
	leave, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Enter(ended); err != late {
		t.Errorf("a third one, where one has left twice: error %v, want %v", err, late)
	}
	waiting := make(chan error)
	go func() {
		_, err := g.Enter(context.Background())
		waiting <- err
	}()
	g.Close()
	g.Close()
	if err := <-waiting; err != net.ErrClosed {
		t.Errorf("waiting at a gate that is closed: error %v", err)
	}
	leave()
	if _, err := g.Enter(t.Context()); err != net.ErrClosed {
		t.Errorf("entering a gate that is closed: error %v", err)
	}
}

func TestAGateWithoutABound(t *testing.T) {
	g := NewGate(-1)
	for range 1000 {
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
}
