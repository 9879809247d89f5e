package mls

import "bytes"

// A keySet is a set of public keys that is asked about many others, few of which
// are in it. It keeps the keys that it is given, which must not be changed.
type keySet struct {
	few  [][]byte // while there are few
	many map[string]bool
	last [256]bool // the last octets of the keys: most others are told apart by theirs
}

// maxFewKeys is how many keys are compared one by one.
const maxFewKeys = 8

// add puts a key into the set. It returns false if the key was there already.
func (s *keySet) add(key []byte) bool {
	if s.contains(key) {
		return false
	}
	s.last[lastOctet(key)] = true
	if s.many == nil && len(s.few) < maxFewKeys {
		s.few = append(s.few, key)
		return true
	}
	if s.many == nil {
		s.many = make(map[string]bool)
		for _, k := range s.few {
			s.many[string(k)] = true
		}
		s.few = nil
	}
	s.many[string(key)] = true
	return true
}

func (s *keySet) contains(key []byte) bool {
	if !s.last[lastOctet(key)] {
		return false
	}
	for _, k := range s.few {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return s.many[string(key)]
}

func lastOctet(key []byte) byte {
	if len(key) == 0 {
		return 0
	}
	return key[len(key)-1]
}
