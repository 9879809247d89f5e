package record

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"weak"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// MaxRecords is how many records one key protects: 2^24.5, rounded down.
// RFC 8446, Section 5.5.
const MaxRecords = 23_726_566

var (
	// ErrAuthentication means that a record was changed on its way, came out of
	// order, or was sealed with another key. (bad_record_mac)
	ErrAuthentication = errors.New("record: authentication failed")
	// ErrOverflow means that a record is longer than it may be. (record_overflow)
	ErrOverflow = errors.New("record: too long")
	// ErrUnexpected means that a record is authentic, or could be, but of a kind
	// that has no place where it came. (unexpected_message)
	ErrUnexpected = errors.New("record: unexpected")
	// ErrKeyExhausted means that a key has protected [MaxRecords] records and
	// may not be used any more.
	ErrKeyExhausted = errors.New("record: key is used up")
	// ErrErased means that the keys were erased.
	ErrErased = errors.New("record: keys are erased")
)

const nonceSize = 12 // of every AEAD that TLS 1.3 and MLS use

// A Protection seals or opens the records of one direction in one epoch. The
// two ends hold equal Protections, which count their records in step.
// It is not safe for concurrent use.
type Protection struct {
	suite    *ciphersuite.Suite
	secret   []byte                    // nil once erased; that of a stream or of datagrams has none
	key      *expandedKey              // nil while at rest, and once erased
	resting  weak.Pointer[expandedKey] // what key was before, see Rest
	iv       [nonceSize]byte
	nonce    [nonceSize]byte // scratch; here so that it need not escape to the heap for each record
	sequence uint64          // of the next record; below limit
	limit    uint64
	content  int // at most, of one record
}

// An expandedKey is an AEAD under the key that the secret gives. For AES-GCM it has
// several times the size of all else that a Protection is.
type expandedKey struct{ cipher.AEAD }

// NewProtection derives a direction's key and IV from its traffic secret, which
// must have suite.HashSize octets. It copies secret: the caller should erase its own.
// RFC 8446, Section 7.3.
func NewProtection(suite *ciphersuite.Suite, secret []byte) (*Protection, error) {
	if len(secret) != suite.HashSize() {
		return nil, fmt.Errorf("record: traffic secret has %d octets, want %d", len(secret), suite.HashSize())
	}
	if err := checkSizes(suite); err != nil {
		return nil, err
	}
	p := &Protection{suite: suite, limit: MaxRecords, content: MaxPlaintext}
	if err := p.install(append([]byte(nil), secret...)); err != nil {
		return nil, err
	}
	return p, nil
}

// checkSizes returns an error unless the suite's AEAD has the sizes of TLS 1.3.
func checkSizes(suite *ciphersuite.Suite) error {
	if n := suite.NonceSize(); n != nonceSize {
		return fmt.Errorf("record: %v has a nonce of %d octets, want %d", suite, n, nonceSize)
	}
	if n := suite.TagSize(); n != TagSize {
		return fmt.Errorf("record: %v has a tag of %d octets, want %d", suite, n, TagSize)
	}
	return nil
}

// Seal appends one record that holds content to dst and returns the longer slice.
// It does not allocate if dst has [Overhead] + len(content) octets to spare.
// Content and the spare octets of dst must not overlap.
//
// It fails with [ErrOverflow] if content is longer than [Protection.MaxContent], with
// [ErrKeyExhausted], or with [ErrErased]; dst is then returned as it was.
func (p *Protection) Seal(dst []byte, t ContentType, content []byte) ([]byte, error) {
	if err := p.mayHold(content); err != nil {
		return dst, err
	}
	start := len(dst)
	return p.sealBehind(appendHeader(dst, ContentApplicationData, len(content)+1+TagSize), start, t, content), nil
}

// Open checks and decrypts one whole record, header included, appends its content
// to dst and returns the content alone, with its type. It does not allocate if dst
// has len(record) - HeaderSize octets to spare; some more than the content's are
// overwritten. To open a record in place, pass
// record[HeaderSize:HeaderSize] as dst; else the two must not overlap.
//
// It fails with [ErrAuthentication], [ErrOverflow], [ErrUnexpected] (no content
// type, or not a protected record), [ErrKeyExhausted] or [ErrErased]. A record
// that fails does not count: the same Protection still opens the right one.
func (p *Protection) Open(dst, record []byte) (ContentType, []byte, error) {
	if err := verifyProtected(record); err != nil {
		return 0, nil, err
	}
	if err := p.ready(); err != nil {
		return 0, nil, err
	}
	// Not in a function of its own: a goroutine that only reads shall need no more than 2 KiB of stack.
	inner, err := p.key.Open(dst, p.nextNonce(), record[HeaderSize:], record[:HeaderSize])
	if err != nil {
		return 0, nil, ErrAuthentication
	}
	return p.opened(inner[len(dst):])
}

// mayHold reports why no record can be sealed that holds content.
func (p *Protection) mayHold(content []byte) error {
	if len(content) > p.content {
		return fmt.Errorf("%w: content of %d octets, at most %d fit", ErrOverflow, len(content), p.content)
	}
	return p.ready()
}

// sealBehind seals a record behind its header, which ends dst and begins at start.
func (p *Protection) sealBehind(dst []byte, start int, t ContentType, content []byte) []byte {
	inner := len(dst)
	dst = append(append(dst, content...), byte(t))
	dst = p.key.Seal(dst[:inner], p.nextNonce(), dst[inner:], dst[start:inner])
	p.sequence++
	return dst
}

// verifyProtected checks a record's header.
func verifyProtected(record []byte) error {
	h, err := ParseHeader(record)
	switch {
	case err != nil:
		return err
	case h.Type != ContentApplicationData:
		return fmt.Errorf("%w: unprotected %v record after keys were installed", ErrUnexpected, h.Type)
	case len(record) != HeaderSize+h.Length:
		return fmt.Errorf("record: %d octets for a record of %d", len(record), HeaderSize+h.Length)
	}
	return nil
}

// opened takes an authentic record's plaintext apart.
func (p *Protection) opened(inner []byte) (ContentType, []byte, error) {
	if len(inner) > p.content+1 {
		return 0, nil, fmt.Errorf("%w: inner plaintext of %d octets, at most %d allowed", ErrOverflow, len(inner), p.content+1)
	}
	// The content type is the last octet that is not padding. RFC 8446, Section 5.4.
	end := len(inner) - 1
	for end >= 0 && inner[end] == 0 {
		end--
	}
	if end < 0 {
		return 0, nil, fmt.Errorf("%w: nothing but padding", ErrUnexpected)
	}
	p.sequence++
	return ContentType(inner[end]), inner[:end], nil
}

// Update moves on to the next key of the same epoch, a KDF step from this one
// that cannot be undone, and starts to count anew. It gives forward secrecy but,
// unlike a new epoch, no healing. Both ends must do it between the same two
// records. RFC 8446, Section 7.2.
func (p *Protection) Update() error {
	if p.secret == nil {
		return ErrErased
	}
	old := p.secret
	if err := p.install(p.suite.ExpandLabel(old, "traffic upd", nil, len(old))); err != nil {
		return err
	}
	clear(old)
	p.sequence = 0
	return nil
}

// Rest says that the next record may be long in coming. The expanded key is left to the
// garbage collector meanwhile. The next record finds it again, or makes it anew, which
// takes some microseconds: once for each collection, if Rest is called often.
func (p *Protection) Rest() {
	if p.key == nil {
		return
	}
	if p.resting == (weak.Pointer[expandedKey]{}) {
		p.resting = weak.Make(p.key)
	}
	p.key = nil
}

// LimitContent sets how many octets of content a record may have, padding included.
// It panics unless n is 1 to [MaxPlaintext], which is the default. RFC 8449, Section 4.
func (p *Protection) LimitContent(n int) {
	if n < 1 || n > MaxPlaintext {
		panic(fmt.Sprintf("record: a limit of %d octets", n))
	}
	p.content = n
}

// MaxContent returns how many octets of content a record may have.
func (p *Protection) MaxContent() int { return p.content }

// LimitRecords sets how many records a key may protect. It panics if n is more than
// [MaxRecords], which is the default.
func (p *Protection) LimitRecords(n uint64) {
	if n > MaxRecords {
		panic(fmt.Sprintf("record: a limit of %d records", n))
	}
	p.limit = n
}

// Remaining returns how many more records the key may protect.
func (p *Protection) Remaining() uint64 { return p.limit - p.sequence }

// NeedsUpdate reports that half of the key's records are used and that fresh keys
// should be agreed on.
func (p *Protection) NeedsUpdate() bool { return p.sequence >= p.limit/2 }

// NearlyExhausted reports that less than an eighth of the key's records is left: who
// has found no other way to fresh keys goes on by [Protection.Update].
func (p *Protection) NearlyExhausted() bool { return p.sequence > p.limit-p.limit/8 }

// Erase forgets the keys. The AEAD's expanded key is left to the garbage
// collector: Go's AEADs cannot be cleared.
func (p *Protection) Erase() {
	clear(p.secret)
	clear(p.iv[:])
	clear(p.nonce[:])
	p.secret, p.key, p.resting = nil, nil, weak.Pointer[expandedKey]{}
}

// ready provides the key for one more record.
func (p *Protection) ready() error {
	switch {
	case p.secret == nil && p.key == nil:
		return ErrErased
	case p.sequence >= p.limit:
		return p.exhausted()
	case p.key != nil:
		return nil
	}
	if p.key = p.resting.Value(); p.key != nil {
		return nil
	}
	return p.expandKey(p.secret)
}

func (p *Protection) exhausted() error {
	return fmt.Errorf("%w: %d records", ErrKeyExhausted, p.limit)
}

// nextNonce returns the IV with the sequence number XORed into its end.
// RFC 8446, Section 5.3.
func (p *Protection) nextNonce() []byte {
	const head = nonceSize - 8
	copy(p.nonce[:head], p.iv[:head])
	binary.BigEndian.PutUint64(p.nonce[head:], binary.BigEndian.Uint64(p.iv[head:])^p.sequence)
	return p.nonce[:]
}

// install takes over a traffic secret and derives key and IV from it.
func (p *Protection) install(secret []byte) error {
	if err := p.expandKey(secret); err != nil {
		return err
	}
	iv := p.suite.ExpandLabel(secret, "iv", nil, nonceSize)
	defer clear(iv)
	copy(p.iv[:], iv)
	p.secret = secret
	return nil
}

// expandKey derives the key from a traffic secret and expands it.
func (p *Protection) expandKey(secret []byte) error {
	key := p.suite.ExpandLabel(secret, "key", nil, p.suite.KeySize())
	defer clear(key)
	expanded := new(expandedKey)
	if err := expanded.expand(p.suite, key); err != nil {
		return err
	}
	p.key, p.resting = expanded, weak.Pointer[expandedKey]{}
	return nil
}

func (k *expandedKey) expand(suite *ciphersuite.Suite, key []byte) (err error) {
	if k.AEAD, err = suite.NewAEAD(key); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
