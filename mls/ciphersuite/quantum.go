package ciphersuite

import "fmt"

// Resistance says against whom an algorithm holds.
type Resistance uint8

// The kinds of resistance.
const (
	// Traditional algorithms fall to quantum computers.
	Traditional Resistance = 1 + iota
	// Hybrid algorithms hold as long as one of a traditional and a post-quantum one does.
	Hybrid
	// PostQuantum algorithms have no traditional part.
	PostQuantum
)

func (r Resistance) String() string {
	switch r {
	case Traditional:
		return "traditional"
	case Hybrid:
		return "hybrid"
	case PostQuantum:
		return "post-quantum"
	}
	return fmt.Sprintf("Resistance(%d)", uint8(r))
}

// KEMResistance says of which kind the suite's KEM is.
func (s *Suite) KEMResistance() Resistance {
	switch s.kem.(type) {
	case *pureKEM:
		return PostQuantum
	case *hybridKEM:
		return Hybrid
	}
	return Traditional
}

// SignatureResistance says of which kind the suite's signature scheme is.
func (s *Suite) SignatureResistance() Resistance {
	if _, ok := s.sig.(mldsaScheme); ok {
		return PostQuantum
	}
	return Traditional
}
