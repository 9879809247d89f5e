package ciphersuite

import (
	"fmt"
	"io"
)

// A dhkem is DHKEM (RFC 9180, Section 4.1).
type dhkem struct {
	number  uint16
	suiteID string
	group   group
	kdf     *kdf
	// mask applies to the first octet of candidate scalars; zero means that
	// every string is a scalar (RFC 9180, Section 7.1.3).
	mask byte
}

var (
	dhkemP256   = newDHKEM(0x0010, curveP256, hkdfSHA256, 0xff)
	dhkemP384   = newDHKEM(0x0011, curveP384, hkdfSHA384, 0xff)
	dhkemP521   = newDHKEM(0x0012, curveP521, hkdfSHA512, 0x01)
	dhkemX25519 = newDHKEM(0x0020, curve25519{}, hkdfSHA256, 0)
	dhkemX448   = newDHKEM(0x0021, curve448{}, hkdfSHA512, 0)
)

func newDHKEM(number uint16, group group, kdf *kdf, mask byte) *dhkem {
	return &dhkem{number, kemSuiteID(number), group, kdf, mask}
}

func (d *dhkem) id() uint16          { return d.number }
func (d *dhkem) privateKeySize() int { return d.group.scalarSize() }
func (d *dhkem) encapSeedSize() int  { return d.group.scalarSize() }

func (d *dhkem) deriveKeyPair(ikm []byte) (kemKey, error) {
	key, err := d.deriveGroupKey(ikm)
	if err != nil {
		return nil, err
	}
	return dhkemKey{key, d}, nil
}

// deriveGroupKey is DeriveKeyPair (RFC 9180, Section 7.1.3).
func (d *dhkem) deriveGroupKey(ikm []byte) (groupKey, error) {
	secret := d.kdf.labeledExtract(make([]byte, 0, d.kdf.size), d.suiteID, nil, "dkp_prk", ikm)
	prk := d.kdf.newPRF(secret)
	clear(secret)
	defer prk.release()
	if d.mask == 0 {
		scalar := prk.labeledExpand(d.suiteID, "sk", nil, d.group.scalarSize())
		defer clear(scalar)
		return d.group.newKey(scalar, nil)
	}
	for counter := range 256 {
		scalar := prk.labeledExpand(d.suiteID, "candidate", []byte{byte(counter)}, d.group.scalarSize())
		scalar[0] &= d.mask
		key, err := d.group.newKey(scalar, nil)
		clear(scalar)
		if err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: no scalar can be derived", ErrPrivateKey)
}

func (d *dhkem) newKey(b, public []byte) (kemKey, error) {
	// Some write the scalar as an integer, without its leading zeros: P-521
	// keys of 65 octets are in the official vectors.
	if size := d.group.scalarSize(); d.mask != 0 && 0 < len(b) && len(b) < size {
		padded := make([]byte, size)
		defer clear(padded)
		copy(padded[size-len(b):], b)
		b = padded
	}
	key, err := d.group.newKey(b, public)
	if err != nil {
		return nil, err
	}
	return dhkemKey{key, d}, nil
}

func (d *dhkem) newPublicKey(b []byte) (kemPublicKey, error) {
	p, err := d.group.newPoint(b)
	if err != nil {
		return nil, err
	}
	return dhkemPublicKey{d, p, b}, nil
}

type dhkemPublicKey struct {
	kem     *dhkem
	point   point
	encoded []byte
}

func (k dhkemPublicKey) encap(rand io.Reader) (secret, enc []byte, err error) {
	d := k.kem
	ikm, err := readRandom(rand, d.group.scalarSize())
	if err != nil {
		return nil, nil, err
	}
	defer clear(ikm)
	ephemeral, err := d.deriveGroupKey(ikm)
	if err != nil {
		return nil, nil, err
	}
	defer ephemeral.erase()
	dh, err := ephemeral.shared(k.point)
	if err != nil {
		return nil, nil, err
	}
	enc = ephemeral.public()
	return d.sharedSecret(dh, enc, k.encoded), enc, nil
}

// sharedSecret is ExtractAndExpand (RFC 9180, Section 4.1). It erases dh.
func (d *dhkem) sharedSecret(dh, enc, public []byte) []byte {
	defer clear(dh)
	context := make([]byte, 0, len(enc)+len(public))
	context = append(append(context, enc...), public...)
	secret := d.kdf.labeledExtract(make([]byte, 0, d.kdf.size), d.suiteID, nil, "eae_prk", dh)
	prk := d.kdf.newPRF(secret)
	clear(secret)
	defer prk.release()
	return prk.labeledExpand(d.suiteID, "shared_secret", context, d.kdf.size)
}

type dhkemKey struct {
	groupKey
	kem *dhkem
}

func (k dhkemKey) decap(enc []byte) ([]byte, error) {
	p, err := k.kem.group.newPoint(enc)
	if err != nil {
		return nil, err
	}
	dh, err := k.shared(p)
	if err != nil {
		return nil, err
	}
	return k.kem.sharedSecret(dh, enc, k.public()), nil
}
