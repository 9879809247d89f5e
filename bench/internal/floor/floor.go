package floor

import (
	"crypto"
	"crypto/rand"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Sizes of what is signed and encrypted, as in messages of small groups.
const (
	signedSize        = 270        // beside public keys: a leaf has one, a key package or a commit two
	signedContentSize = 1024 + 170 // with the rest of FramedContentTBS
	contextSize       = 150
	secretSize        = 32
	contentSize       = 1024 + 70 // with the signature
	senderDataSize    = 12
	aadSize           = 50
)

// A Provider has what the operations of a suite need, readied and parsed.
type Provider struct {
	suite *ciphersuite.Suite

	signer             crypto.Signer
	verifier           *ciphersuite.SignaturePublicKey
	handshake, message []byte // to be signed
	handshakeSignature []byte
	messageSignature   []byte

	private    *ciphersuite.HPKEPrivateKey
	public     *ciphersuite.HPKEPublicKey
	context    []byte
	secret     []byte
	kemOutput  []byte
	ciphertext []byte

	key, nonce, aad          []byte
	content, senderData      []byte
	sealed, sealedSenderData []byte
}

// New returns the Provider of a suite.
func New(s *ciphersuite.Suite) (*Provider, error) {
	p := &Provider{
		suite:   s,
		message: make([]byte, signedContentSize),
		context: make([]byte, contextSize), secret: make([]byte, secretSize),
		key: make([]byte, s.KeySize()), nonce: make([]byte, s.NonceSize()), aad: make([]byte, aadSize),
		content: make([]byte, contentSize), senderData: make([]byte, senderDataSize),
	}
	var err error
	if p.signer, err = s.GenerateSigner(rand.Reader); err != nil {
		return nil, err
	}
	encoded, err := s.SignaturePublicKey(p.signer.Public())
	if err != nil {
		return nil, err
	}
	if p.verifier, err = s.ParseSignaturePublicKey(encoded); err != nil {
		return nil, err
	}
	if p.private, err = s.GenerateHPKEKeyPair(rand.Reader); err != nil {
		return nil, err
	}
	p.handshake = make([]byte, signedSize+len(p.private.PublicKey())*3/2)
	if p.handshakeSignature, err = p.sign(p.handshake); err != nil {
		return nil, err
	}
	if p.messageSignature, err = p.sign(p.message); err != nil {
		return nil, err
	}
	if p.public, err = s.ParseHPKEPublicKey(p.private.PublicKey()); err != nil {
		return nil, err
	}
	if p.kemOutput, p.ciphertext, err = p.public.EncryptWithLabel(rand.Reader, "floor", p.context, p.secret); err != nil {
		return nil, err
	}
	if p.sealed, p.sealedSenderData, err = p.seal(); err != nil {
		return nil, err
	}
	return p, nil
}

// Op returns the execution of c.
func (p *Provider) Op(c Counts) measure.Op {
	return measure.Repeat(func() error {
		for operation, n := range p.operations(c) {
			for range n {
				if err := operation(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ParallelOp returns the execution of c on all cores.
func (p *Provider) ParallelOp(c Counts) measure.Op {
	return measure.Repeat(func() error {
		var all []func() error
		for operation, n := range p.operations(c) {
			all = append(all, slices.Repeat([]func() error{operation}, n)...)
		}
		var next atomic.Int64
		errs := make([]error, runtime.GOMAXPROCS(0))
		var workers sync.WaitGroup
		for i := range errs {
			workers.Go(func() {
				for errs[i] == nil {
					at := int(next.Add(1) - 1)
					if at >= len(all) {
						return
					}
					errs[i] = all[at]()
				}
			})
		}
		workers.Wait()
		return errors.Join(errs...)
	})
}

// operations yields each operation with how often it is needed.
func (p *Provider) operations(c Counts) func(yield func(func() error, int) bool) {
	return func(yield func(func() error, int) bool) {
		_ = yield(p.generate, c.Generate) &&
			yield(p.derive, c.Derive) &&
			yield(p.sealHPKE, c.Seal) &&
			yield(p.sealNewHPKE, c.SealNew) &&
			yield(p.openHPKE, c.Open) &&
			yield(p.signHandshake, c.Sign) &&
			yield(p.verifyHandshake, c.Verify) &&
			yield(p.signMessage, c.SignContent) &&
			yield(p.verifyMessage, c.VerifyContent) &&
			yield(p.sealAEAD, c.AEADSeal) &&
			yield(p.openAEAD, c.AEADOpen)
	}
}

func (p *Provider) generate() error {
	_, err := p.suite.GenerateHPKEKeyPair(rand.Reader)
	return err
}

func (p *Provider) derive() error {
	_, err := p.suite.DeriveHPKEKeyPair(p.secret)
	return err
}

func (p *Provider) sealHPKE() error {
	_, _, err := p.public.EncryptWithLabel(rand.Reader, "floor", p.context, p.secret)
	return err
}

// sealNewHPKE parses the key first, and expands it if it is one of ML-KEM.
func (p *Provider) sealNewHPKE() error {
	_, _, err := p.suite.EncryptWithLabel(rand.Reader, p.private.PublicKey(), "floor", p.context, p.secret)
	return err
}

func (p *Provider) openHPKE() error {
	_, err := p.suite.DecryptWithLabel(p.private, "floor", p.context, p.kemOutput, p.ciphertext)
	return err
}

func (p *Provider) sign(content []byte) ([]byte, error) {
	return p.suite.SignWithLabel(rand.Reader, p.signer, "floor", content)
}

func (p *Provider) signHandshake() error {
	_, err := p.sign(p.handshake)
	return err
}

func (p *Provider) signMessage() error {
	_, err := p.sign(p.message)
	return err
}

func (p *Provider) verifyHandshake() error {
	return p.verifier.VerifyWithLabel("floor", p.handshake, p.handshakeSignature)
}

func (p *Provider) verifyMessage() error {
	return p.verifier.VerifyWithLabel("floor", p.message, p.messageSignature)
}

func (p *Provider) sealAEAD() error {
	_, _, err := p.seal()
	return err
}

// seal encrypts a message's content and its sender data. Each message has keys of
// its own, so setting them up belongs to it.
func (p *Provider) seal() (content, senderData []byte, err error) {
	aead, err := p.suite.NewAEAD(p.key)
	if err != nil {
		return nil, nil, err
	}
	content = aead.Seal(nil, p.nonce, p.content, p.aad)
	if aead, err = p.suite.NewAEAD(p.key); err != nil {
		return nil, nil, err
	}
	return content, aead.Seal(nil, p.nonce, p.senderData, p.aad), nil
}

func (p *Provider) openAEAD() error {
	for _, sealed := range [][]byte{p.sealedSenderData, p.sealed} {
		aead, err := p.suite.NewAEAD(p.key)
		if err != nil {
			return err
		}
		if _, err := aead.Open(nil, p.nonce, sealed, p.aad); err != nil {
			return err
		}
	}
	return nil
}
