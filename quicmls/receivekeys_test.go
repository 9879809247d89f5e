package quicmls

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// epochSecret returns the secret of an epoch, for both ends of a test.
func epochSecret(t testing.TB, epoch uint64) *record.EpochSecret {
	t.Helper()
	suite, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := record.NewEpochSecret(suite, epoch, bytes.Repeat([]byte{byte(epoch)}, suite.HashSize()), record.MaxPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// numbered is a receiving direction of which only the number is of interest.
type numbered struct{ quicReceiver }

func (numbered) StreamID() quic.StreamID { return 4 }

// A peer that has switched twice sends in an epoch that the control stream will bring as the next
// but one. Streams and datagrams wait for it; what is further ahead cannot be.
func TestWhatComesTwoEpochsAheadWaits(t *testing.T) {
	k := &receiveKeys{grace: time.Hour}
	defer k.erase()
	k.install(epochSecret(t, 255))
	h := &ReceiveStream{quic: numbered{}}
	p, err := epochSecret(t, 257).Datagrams()
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := p.Seal(nil, []byte("datagram"))
	if err != nil {
		t.Fatal(err)
	}
	for present := range 2 {
		p, wait, err := k.begin(h, 257&0xff)
		if p != nil || wait == nil || err != nil {
			t.Fatalf("%d epochs ahead: %v, %v", 2-present, p, err)
		}
		if _, _, wait, err := k.openDatagram(bytes.Clone(datagram)); wait == nil || err != nil {
			t.Fatalf("datagram %d epochs ahead: %v", 2-present, err)
		}
		k.install(epochSecret(t, 256+uint64(present)))
		select {
		case <-wait:
		default:
			t.Fatal("the wait is not over")
		}
	}
	if p, _, err := k.begin(h, 257&0xff); err != nil || p.Epoch() != 257 {
		t.Errorf("%v, %v", p, err)
	}
	if content, _, _, err := k.openDatagram(datagram); err != nil || string(content) != "datagram" {
		t.Errorf("%q, %v", content, err)
	}
	if _, _, err := k.begin(&ReceiveStream{quic: numbered{}}, 260&0xff); !errors.Is(err, ErrEpochGone) {
		t.Errorf("three epochs ahead: %v, want ErrEpochGone", err)
	}
}

// A slow stream brings the header of its first record, and lets something happen before the rest.
type slow struct {
	script
	meanwhile func()
}

func (s *slow) Read(p []byte) (int, error) {
	if s.piece == record.StreamHeaderSize {
		s.piece = readSize
		return s.script.Read(p[:record.StreamHeaderSize])
	}
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.script.Read(p)
}

// A stream whose first record comes slowly has its keys from the header on, however many
// epochs go by before the rest is there.
func TestAFirstRecordThatIsLongUnderWayIsOpened(t *testing.T) {
	ic, rc := newConfigs(t)
	client, server, _, _ := detachedPair(t, ic, rc)
	defer release(client)
	defer release(server)
	server.receiving.erase() // the keys of the test instead
	server.receiving.install(epochSecret(t, 1))
	said := speakScript(t, []byte("\x17\x00\x04data\x15\x00\x02\x02\x00"), 1)
	s := new(ReceiveStream)
	s.init(server, &slow{script: script{in: said.sealed, piece: record.StreamHeaderSize}, meanwhile: func() {
		for epoch := range uint64(maxOldEpochs + 1) {
			server.receiving.install(epochSecret(t, 2+epoch))
		}
	}})
	if got, err := io.ReadAll(s); err != nil || string(got) != "data" {
		t.Errorf("%q, %v", got, err)
	}
}
