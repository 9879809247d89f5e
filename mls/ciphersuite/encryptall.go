package ciphersuite

import (
	"bytes"
	"io"
	"sync"

	"github.com/mendlink/mendlink/mls/internal/parallel"
)

// An Encryption is one of those that [Suite.EncryptAllWithLabel] makes.
type Encryption struct {
	Key       *HPKEPublicKey // the recipient's, or else:
	PublicKey []byte         // the same, encoded
	Plaintext []byte
	// The result.
	KEMOutput, Ciphertext []byte
}

// EncryptAllWithLabel is [Suite.EncryptWithLabel] for each of a list, with one
// label and context: with the same rand, the results are those of as many calls
// in a row. The work is spread over the processors, and what depends on label and
// context alone is done once. Errors match [ErrPublicKey], or are those of rand.
func (s *Suite) EncryptAllWithLabel(rand io.Reader, label string, context []byte, list []Encryption) error {
	size := s.kem.encapSeedSize()
	seeds := make([]byte, len(list)*size)
	defer clear(seeds)
	for i := range list {
		if err := fillRandom(rand, seeds[i*size:(i+1)*size]); err != nil {
			return err
		}
	}
	rest := &lockedReader{reader: rand}
	scheduleContext := s.encryptContext(label, context)
	return parallel.For(len(list), func(i int) error {
		e := &list[i]
		key, err := e.Key, error(nil)
		if key == nil {
			if key, err = s.ParseHPKEPublicKey(e.PublicKey); err != nil {
				return err
			}
		}
		seed := io.MultiReader(bytes.NewReader(seeds[i*size:(i+1)*size]), rest)
		e.KEMOutput, e.Ciphertext, err = key.seal(seed, scheduleContext, nil, e.Plaintext)
		return err
	})
}

// A lockedReader is read by several goroutines.
type lockedReader struct {
	mu     sync.Mutex
	reader io.Reader
}

func (r *lockedReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reader.Read(b)
}
