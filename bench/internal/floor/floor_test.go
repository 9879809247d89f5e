package floor

import (
	"errors"
	"reflect"
	"testing"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestAHandshakeIsThatOfTheBaseline(t *testing.T) {
	want := Counts{Generate: 3, SealNew: 1, Open: 1, Sign: 5, Verify: 4}
	if got := Handshake(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Each count is added, and each is executed.
func TestNoCountIsForgotten(t *testing.T) {
	var ones Counts
	v := reflect.ValueOf(&ones).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(1)
	}
	twos := reflect.ValueOf(ones.Add(ones))
	for i := range twos.NumField() {
		if twos.Field(i).Int() != 2 {
			t.Errorf("%s is not added", twos.Type().Field(i).Name)
		}
	}
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	executed := 0
	for operation, n := range p.operations(ones) {
		if err := operation(); err != nil {
			t.Error(err)
		}
		executed += n
	}
	if executed != v.NumField() {
		t.Errorf("%d operations of %d", executed, v.NumField())
	}
}

func TestEverySuiteHasAFloor(t *testing.T) {
	for _, id := range ciphersuite.Default().IDs() {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(s)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		all := Handshake().Add(CreateWarm(4), Process(), Protect(), Unprotect())
		for _, op := range []measure.Op{p.Op(all), p.ParallelOp(all)} {
			run, err := op(1)
			if err == nil {
				err = run()
			}
			if err != nil {
				t.Errorf("%v: %v", s, err)
			}
		}
	}
}

func TestAParallelFloorReportsFailure(t *testing.T) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	p.handshakeSignature[0] ^= 1
	for _, op := range []measure.Op{p.Op(Join(3)), p.ParallelOp(Join(3))} {
		run, err := op(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(); !errors.Is(err, ciphersuite.ErrSignature) {
			t.Errorf("got %v, want ErrSignature", err)
		}
	}
}

func TestPathLengths(t *testing.T) {
	for n, want := range map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 10: 4, 100: 7, 1000: 10} {
		if got := pathLength(n); got != want {
			t.Errorf("%d members: got %d, want %d", n, got, want)
		}
	}
}
