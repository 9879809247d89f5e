package ciphersuite

import "golang.org/x/crypto/chacha20poly1305"

var chaCha20Poly1305 = &aead{0x0003, chacha20poly1305.KeySize, chacha20poly1305.New}
