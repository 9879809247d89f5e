package conformance

import "github.com/mendlink/mendlink/mls/internal/secrettree"

// secretTree has keys of the secret tree and of sender data.
type secretTree struct {
	suited
	SenderData struct {
		Secret     hexBytes `json:"sender_data_secret"`
		Ciphertext hexBytes `json:"ciphertext"`
		Key        hexBytes `json:"key"`
		Nonce      hexBytes `json:"nonce"`
	} `json:"sender_data"`
	EncryptionSecret hexBytes                 `json:"encryption_secret"`
	Leaves           [][]secretTreeGeneration `json:"leaves"`
}

type secretTreeGeneration struct {
	Generation       uint32   `json:"generation"`
	HandshakeKey     hexBytes `json:"handshake_key"`
	HandshakeNonce   hexBytes `json:"handshake_nonce"`
	ApplicationKey   hexBytes `json:"application_key"`
	ApplicationNonce hexBytes `json:"application_nonce"`
}

// maxGeneration bounds what a case can make us derive.
const maxGeneration = 1 << 16

func (v *secretTree) check(c *checker) {
	key, nonce := secrettree.SenderDataKey(c.suite, v.SenderData.Secret, v.SenderData.Ciphertext)
	c.equal("sender_data.key", key, v.SenderData.Key)
	c.equal("sender_data.nonce", nonce, v.SenderData.Nonce)
	if !c.that(len(v.Leaves) > 0, "there are no leaves") {
		return
	}
	limits := secrettree.Limits{MaxForward: maxGeneration}
	tree := secrettree.New(c.suite, v.EncryptionSecret, uint32(len(v.Leaves)), limits)
	for leaf, generations := range v.Leaves {
		c.that(len(generations) > 0, "leaf %d has no generations", leaf)
		for i := range generations {
			g := &generations[i]
			c.ratchetKey(tree, uint32(leaf), secrettree.Handshake, g.Generation, g.HandshakeKey, g.HandshakeNonce)
			c.ratchetKey(tree, uint32(leaf), secrettree.Application, g.Generation, g.ApplicationKey, g.ApplicationNonce)
		}
	}
}

// ratchetKey compares a key as a receiver derives it, and as a sender does.
func (c *checker) ratchetKey(tree *secrettree.Tree, leaf uint32, kind secrettree.Kind, generation uint32, wantKey, wantNonce []byte) {
	received, err := tree.Peek(leaf, kind, generation)
	if !c.ok("receiving", err) {
		return
	}
	c.equal("key of a receiver", received.Key, wantKey)
	c.equal("nonce of a receiver", received.Nonce, wantNonce)
	received.Discard()
	sender := tree.Clone()
	for {
		sent, err := sender.Next(leaf, kind)
		if !c.ok("sending", err) {
			return
		}
		if sent.Generation == generation {
			c.equal("key of a sender", sent.Key, wantKey)
			c.equal("nonce of a sender", sent.Nonce, wantNonce)
			return
		}
	}
}

func generateSecretTree(g *generator) (vector, error) {
	v := new(secretTree)
	v.CipherSuite = g.suite.ID()
	v.SenderData.Secret, v.SenderData.Ciphertext = g.secret(), g.octets(77)
	v.SenderData.Key, v.SenderData.Nonce = secrettree.SenderDataKey(g.suite, v.SenderData.Secret, v.SenderData.Ciphertext)
	v.EncryptionSecret = g.secret()
	v.Leaves = make([][]secretTreeGeneration, []int{8, 1, 32}[g.index%3])
	tree := secrettree.New(g.suite, v.EncryptionSecret, uint32(len(v.Leaves)), secrettree.Limits{})
	for leaf := range v.Leaves {
		for _, generation := range []uint32{0, 15} {
			handshake, err := tree.Peek(uint32(leaf), secrettree.Handshake, generation)
			if err != nil {
				return nil, err
			}
			application, err := tree.Peek(uint32(leaf), secrettree.Application, generation)
			if err != nil {
				return nil, err
			}
			v.Leaves[leaf] = append(v.Leaves[leaf], secretTreeGeneration{
				Generation:   generation,
				HandshakeKey: handshake.Key, HandshakeNonce: handshake.Nonce,
				ApplicationKey: application.Key, ApplicationNonce: application.Nonce,
			})
		}
	}
	return v, nil
}
