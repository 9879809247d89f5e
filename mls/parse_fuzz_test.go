package mls

import "testing"

// A credential that decodes encodes to the same octets, and holds what its type has
// and nothing else.
func FuzzParseCredential(f *testing.F) {
	basic := BasicCredential([]byte("alice"))
	f.Add(basic.Marshal())
	unknown := Credential{Type: 0xF001, Data: []byte("data")}
	f.Add(unknown.Marshal())
	f.Add([]byte{0, 2, 5, 1, 7, 2, 8, 9}) // of X.509, with two certificates
	for _, list := range vectorSeeds(f)["mls_key_package"] {
		k, err := ParseKeyPackage(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.keyPackage.LeafNode.Credential.Marshal())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCredential(data)
		if err != nil {
			return
		}
		wantEqual(t, "encoded credential", c.Marshal(), data)
		if !c.Equal(c) {
			t.Errorf("%+v differs from itself", c)
		}
		if c.Type != CredentialBasic && c.Identity != nil || c.Type != CredentialX509 && c.Certificates != nil {
			t.Errorf("a credential of type %d holds %+v", c.Type, c)
		}
	})
}

// A media type that was read from text can be sent, and be written as text again.
func FuzzParseMediaType(f *testing.F) {
	for _, text := range []string{"image/png", `text/plain ;charset="UTF-8"`, `text/x; b="a \"quoted\" \\ word"; a=1`, `a/b; c*=utf-8''%C3%A9`, "/", "a/b/c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMediaType(text)
		if err != nil {
			return
		}
		list := MediaTypeList{m}
		encoded, err := list.Marshal()
		if err != nil {
			t.Fatalf("%q is %+v, which cannot be sent: %v", text, m, err)
		}
		sent, err := ParseMediaTypeList(encoded)
		if err != nil || len(sent) != 1 || !sent[0].Equal(m) {
			t.Fatalf("%+v was sent, and %+v came, %v", m, sent, err)
		}
		again, err := ParseMediaType(m.String())
		if err == nil && !again.Equal(m) {
			t.Errorf("%q is %+v, and %q is %+v", text, m, m.String(), again)
		}
	})
}
