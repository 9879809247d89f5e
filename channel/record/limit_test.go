package record

import (
	"errors"
	"testing"
)

func TestContentIsLimited(t *testing.T) {
	sealer, opener := newPair(t)
	sealer.LimitContent(100)
	if n := sealer.MaxContent(); n != 100 {
		t.Errorf("the limit is %d", n)
	}
	if rec, err := sealer.Seal(nil, ContentApplicationData, make([]byte, 101)); !errors.Is(err, ErrOverflow) || len(rec) != 0 {
		t.Errorf("Seal: %d octets, %v", len(rec), err)
	}
	rec, err := sealer.Seal(nil, ContentApplicationData, make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	opener.LimitContent(99)
	if _, _, err := opener.Open(nil, rec); !errors.Is(err, ErrOverflow) {
		t.Errorf("Open: %v", err)
	}
	opener.LimitContent(100)
	if _, content, err := opener.Open(nil, rec); len(content) != 100 || err != nil {
		t.Errorf("Open: %d octets, %v", len(content), err)
	}
	// The limit is of the connection, not of the key.
	if err := sealer.Update(); err != nil || sealer.MaxContent() != 100 {
		t.Errorf("after a step the limit is %d, %v", sealer.MaxContent(), err)
	}
}

func TestAKeyThatIsNearlyExhaustedSaysSo(t *testing.T) {
	sealer, _ := newPair(t)
	sealer.LimitRecords(64)
	for i := range 64 {
		if want := 64-i < 8; sealer.NearlyExhausted() != want {
			t.Errorf("after %d records of 64: %t", i, !want)
		}
		if _, err := sealer.Seal(nil, ContentApplicationData, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := sealer.Update(); err != nil || sealer.NearlyExhausted() {
		t.Errorf("after a step the key is nearly exhausted, or %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a limit above that of the AEAD is accepted")
		}
	}()
	sealer.LimitRecords(MaxRecords + 1)
}
