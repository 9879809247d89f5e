package webtoken

import "errors"

var (
	// ErrToken means that something is not a web token with key binding of the form that is expected.
	ErrToken = errors.New("webtoken: not a web token with key binding")
	// ErrLimit means that a token is larger, deeper or of more disclosures than is accepted.
	ErrLimit = errors.New("webtoken: token exceeds a limit")
	// ErrIssuer means that a token's issuer is not trusted, or has no key of that name.
	ErrIssuer = errors.New("webtoken: issuer or its key is not trusted")
	// ErrAlgorithm means that a signature is of an algorithm that is not accepted, or that does not
	// go with the key.
	ErrAlgorithm = errors.New("webtoken: signature algorithm is not accepted")
	// ErrSignature means that a signature, the issuer's or the holder's, is wrong.
	ErrSignature = errors.New("webtoken: wrong signature")
	// ErrKeyKind means that a key is of a kind that tokens here cannot be for: all but Ed25519, P-256,
	// P-384 and P-521. It is so for ML-DSA, of which the libraries beneath have no keys.
	ErrKeyKind = errors.New("webtoken: kind of key is not supported")
	// ErrDisclosure means that disclosures do not fit the token's digests.
	ErrDisclosure = errors.New("webtoken: disclosures do not fit the token")
	// ErrBinding means that a key binding is for another token, or lacks what it has to say.
	ErrBinding = errors.New("webtoken: key binding does not fit")
	// ErrAudience means that a token or its key binding is for somebody else.
	ErrAudience = errors.New("webtoken: token is for another audience")
	// ErrExpired means that a token or its key binding is not valid any more, or does not say until
	// when it is.
	ErrExpired = errors.New("webtoken: token has expired")
	// ErrNotYet means that a token or its key binding is for later.
	ErrNotYet = errors.New("webtoken: token is not valid yet")
	// ErrDates means that the dates of a token and its key binding contradict each other.
	ErrDates = errors.New("webtoken: dates contradict each other")
	// ErrHolderKey means that a token is for another key than the one that comes with it.
	ErrHolderKey = errors.New("webtoken: token is for another key")
	// ErrSubject means that a token is somebody else's than is accepted.
	ErrSubject = errors.New("webtoken: subject is not accepted")
)
