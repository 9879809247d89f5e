package mls

// A keySet is a set of public keys that is asked about many others, few of which
// are in it.
type keySet struct {
	keys map[string]bool
	last [256]bool // the last octets of the keys: most others are told apart by theirs
}

// add puts a key into the set. It returns false if the key was there already.
func (s *keySet) add(key []byte) bool {
	if s.contains(key) {
		return false
	}
	if s.keys == nil {
		s.keys = make(map[string]bool)
	}
	s.keys[string(key)] = true
	s.last[lastOctet(key)] = true
	return true
}

func (s *keySet) contains(key []byte) bool {
	return s.last[lastOctet(key)] && s.keys[string(key)]
}

func lastOctet(key []byte) byte {
	if len(key) == 0 {
		return 0
	}
	return key[len(key)-1]
}
