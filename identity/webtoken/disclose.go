package webtoken

import "fmt"

// A claimForm says how digests and disclosures look in one of the two encodings.
type claimForm interface {
	// redacted returns the digests of the members that are hidden in a map, nil if it is none or has
	// none, and takes them out. An error says that they have no form.
	redacted(value any) (digests []string, err error)
	// element returns the digest of a hidden element of an array, if value stands for one.
	element(value any) (digest string, is bool, err error)
	// read splits the content of a disclosure; named says that it is that of a member of a map, decoy
	// that it is none at all.
	read(content any) (d disclosure, err error)
	// verify looks at a map, or at a value that is neither map nor array, by itself.
	verify(value any) error
}

// A disclosure is the content of one, and whether its place was found.
type disclosure struct {
	named, decoy bool
	name         any
	value        any
	used         bool
}

// A discloser puts disclosures in their places. RFC 9901, Section 7.1;
// draft-ietf-spice-sd-cwt, "SD-KBT and SD-CWT Verifier Validation".
type discloser struct {
	form        claimForm
	disclosures map[string]*disclosure // by digest
	seen        map[string]bool        // digests that were found
}

func newDiscloser(form claimForm) *discloser {
	return &discloser{form, make(map[string]*disclosure), make(map[string]bool)}
}

// add takes a disclosure with its digest.
func (d *discloser) add(digest string, content any) error {
	read, err := d.form.read(content)
	if err != nil {
		return err
	}
	if _, twice := d.disclosures[digest]; twice {
		return fmt.Errorf("%w: there is one twice", ErrDisclosure)
	}
	d.disclosures[digest] = &read
	return nil
}

// disclose changes claims to what is disclosed of them. There must be a place for each disclosure, and
// no digest may be there twice.
func (d *discloser) disclose(claims any) error {
	if _, err := d.value(claims, 1); err != nil {
		return err
	}
	for _, disclosure := range d.disclosures {
		if !disclosure.used {
			return fmt.Errorf("%w: there is no digest for that of %v", ErrDisclosure, disclosure.name)
		}
	}
	return nil
}

// value returns what is disclosed of a value. Maps are changed in place.
func (d *discloser) value(value any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: claims of more than %d levels", ErrLimit, maxDepth)
	}
	if array, ok := value.([]any); ok {
		return d.array(array, depth)
	}
	digests, err := d.form.redacted(value)
	if err != nil {
		return nil, err
	}
	if err := d.form.verify(value); err != nil {
		return nil, err
	}
	switch at := value.(type) {
	case map[string]any:
		return at, members(d, at, digests, depth)
	case map[any]any:
		return at, members(d, at, digests, depth)
	}
	return value, nil
}

// members discloses within a map, and of its hidden members.
func members[K comparable](d *discloser, at map[K]any, digests []string, depth int) (err error) {
	for name, value := range at {
		if at[name], err = d.value(value, depth+1); err != nil {
			return err
		}
	}
	for _, digest := range digests {
		found, err := d.find(digest)
		if err != nil {
			return err
		}
		if found == nil || found.decoy {
			continue
		}
		name, ok := found.name.(K)
		if !found.named || !ok {
			return fmt.Errorf("%w: a member of a map has no name", ErrDisclosure)
		}
		if _, twice := at[name]; twice {
			return fmt.Errorf("%w: %v is there already", ErrDisclosure, name)
		}
		if depth == 1 && neverHidden[any(name)] {
			return fmt.Errorf("%w: %v must not be hidden", ErrDisclosure, name)
		}
		if at[name], err = d.value(found.value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// array returns the elements that are disclosed.
func (d *discloser) array(elements []any, depth int) (any, error) {
	disclosed := make([]any, 0, len(elements))
	for _, element := range elements {
		digest, hidden, err := d.form.element(element)
		if err != nil {
			return nil, err
		}
		if hidden {
			found, err := d.find(digest)
			if err != nil {
				return nil, err
			}
			if found == nil || found.decoy {
				continue
			}
			if found.named {
				return nil, fmt.Errorf("%w: an element of an array has the name %v", ErrDisclosure, found.name)
			}
			element = found.value
		}
		if element, err = d.value(element, depth+1); err != nil {
			return nil, err
		}
		disclosed = append(disclosed, element)
	}
	return disclosed, nil
}

// find returns the disclosure of a digest, nil if there is none.
func (d *discloser) find(digest string) (*disclosure, error) {
	if d.seen[digest] {
		return nil, fmt.Errorf("%w: a digest is there twice", ErrDisclosure)
	}
	d.seen[digest] = true
	found := d.disclosures[digest]
	if found != nil {
		found.used = true
	}
	return found, nil
}

// neverHidden are the claims that decide whether a token is valid: they are there for everybody to
// see. RFC 9901, Section 9.7; draft-ietf-spice-sd-cwt, "SD-CWT Issuance".
var neverHidden = map[any]bool{
	"iss": true, "aud": true, "exp": true, "nbf": true, "iat": true, "cnf": true,
	claimIssuer: true, claimAudience: true, claimExpiry: true, claimNotBefore: true, claimIssuedAt: true,
	claimID: true, claimConfirmation: true, claimNonce: true,
}

// Names that RFC 9901 has for itself.
const (
	hiddenMembers = "_sd"
	hiddenElement = "..."
	hashAlgorithm = "_sd_alg"
)

// jsonClaims is the form of SD-JWT. RFC 9901, Section 4.2.
type jsonClaims struct{}

func (jsonClaims) redacted(value any) ([]string, error) {
	at, ok := value.(map[string]any)
	if !ok {
		return nil, nil
	}
	hidden, ok := at[hiddenMembers]
	if !ok {
		return nil, nil
	}
	delete(at, hiddenMembers)
	list, ok := hidden.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: _sd is a %T, want an array", ErrDisclosure, hidden)
	}
	digests := make([]string, 0, len(list))
	for _, v := range list {
		digest, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%w: _sd has a %T, want a string", ErrDisclosure, v)
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

func (jsonClaims) element(value any) (string, bool, error) {
	at, ok := value.(map[string]any)
	if !ok {
		return "", false, nil
	}
	hidden, ok := at[hiddenElement]
	if !ok {
		return "", false, nil
	}
	digest, ok := hidden.(string)
	if !ok || len(at) != 1 {
		return "", false, fmt.Errorf("%w: %q is a %T beside %d members, want a string alone", ErrDisclosure, hiddenElement, hidden, len(at)-1)
	}
	return digest, true, nil
}

func (jsonClaims) read(content any) (d disclosure, err error) {
	list, ok := content.([]any)
	if !ok || len(list) < 2 || len(list) > 3 {
		return d, fmt.Errorf("%w: want an array of 2 or 3", ErrDisclosure)
	}
	if _, ok := list[0].(string); !ok {
		return d, fmt.Errorf("%w: the salt is a %T, want a string", ErrDisclosure, list[0])
	}
	d.value = list[len(list)-1]
	if len(list) == 3 {
		name, ok := list[1].(string)
		if !ok || name == hiddenMembers || name == hiddenElement || name == hashAlgorithm {
			return d, fmt.Errorf("%w: the name is %v", ErrDisclosure, list[1])
		}
		d.named, d.name = true, name
	}
	return d, nil
}

// verify refuses the names that have no meaning here.
func (jsonClaims) verify(value any) error {
	at, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	for _, name := range []string{hiddenElement, hashAlgorithm} {
		if _, there := at[name]; there {
			return fmt.Errorf("%w: %q is out of place", ErrDisclosure, name)
		}
	}
	return nil
}
