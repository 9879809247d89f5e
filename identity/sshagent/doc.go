// Package sshagent gives private keys that stay in an ssh-agent, as values of
// [crypto.Signer]: the agent signs, and the program never has the key.
//
// Use [FromEnvironment] for the agent that SSH_AUTH_SOCK names, and [Agent.SignerFor] for
// one of its keys:
//
//	agent, err := sshagent.FromEnvironment()
//	signer, err := agent.SignerFor(publicKey)
//	self := identity.New(signer, "replica-7")
//
// Under a certificate that is in a file, and renewed there, it is the Signer of an
// identity.KeyPair.
//
// Ed25519 and ECDSA keys on P-256, P-384 and P-521 are supported. An agent signs messages and not
// digests, so that an ECDSA signer here is a [crypto.MessageSigner] that cannot do without the message.
//
// The agent is asked whenever the credential is shown: in handshakes, and in every update. It should
// be at hand, and not ask a person each time.
package sshagent
