package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/mls"
)

// withLinks is a registry with two forwards, a and b. Each has two links, with the peers 0 and 1, which count their
// updates and end them with what fail returns.
func withLinks(fail func(ctx context.Context, forward string, peer int) error) (r *links.Registry, updates map[string]*[2]int) {
	r, updates = links.New(), make(map[string]*[2]int)
	for _, name := range []string{"a", "b"} {
		updates[name] = new([2]int)
		f := r.Add(name, "server", "tcp", ":7000", func() links.Self { return links.Self{} })
		for peer := range 2 {
			l := f.Begin("192.0.2.1:1234")
			l.UpdateBy(func(ctx context.Context) error {
				updates[name][peer]++
				return fail(ctx, name, peer)
			})
			key := make([]byte, 32)
			key[0] = byte(peer)
			l.Established(channel.SessionID{byte(peer)}, "SUITE", 1, false, &mls.LeafNode{SignatureKey: key, Credential: mls.BasicCredential([]byte("own word"))})
		}
	}
	return r, updates
}

func post(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, nil)
	request.Host = "localhost"
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	return w
}

func TestRekeyChoosesLinks(t *testing.T) {
	second := channel.Fingerprint(append([]byte{1}, make([]byte, 31)...))
	escaped := strings.ReplaceAll(second, "+", "%2B")
	for _, test := range []struct {
		query string
		code  int
		want  map[string][2]int // updates
	}{
		{"", http.StatusOK, map[string][2]int{"a": {1, 1}, "b": {1, 1}}},
		{"?forward=b", http.StatusOK, map[string][2]int{"b": {1, 1}}},
		{"?peer=" + escaped, http.StatusOK, map[string][2]int{"a": {0, 1}, "b": {0, 1}}},
		{"?forward=a&wait=1s&peer=" + escaped, http.StatusOK, map[string][2]int{"a": {0, 1}}},
		{"?forward=c", http.StatusNotFound, nil},
		{"?peer=SHA256:x", http.StatusNotFound, nil},
		{"?peer=own%20word", http.StatusNotFound, nil}, // nobody attests it
		{"?peer=%22own%20word%22", http.StatusNotFound, nil},
		{"?link=1", http.StatusBadRequest, nil},
		{"?wait=soon", http.StatusBadRequest, nil},
		{"?wait=-1s", http.StatusBadRequest, nil},
		{"?wait=26s", http.StatusBadRequest, nil},
	} {
		r, updates := withLinks(func(context.Context, string, int) error { return nil })
		w := post(handler(r), "/rekey"+test.query)
		if w.Code != test.code {
			t.Errorf("%s: got %d %q, want %d", test.query, w.Code, w.Body, test.code)
		}
		for name, got := range updates {
			if *got != test.want[name] {
				t.Errorf("%s: links of %s were updated %v times, want %v", test.query, name, *got, test.want[name])
			}
		}
		if test.code != http.StatusOK {
			continue
		}
		var all []links.Rekeyed
		if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
			t.Fatal(err)
		}
		n := 0
		for name, want := range test.want {
			n += want[0] + want[1]
			for _, r := range all {
				if r.Forward == name && (r.Error != "" || !strings.HasPrefix(r.Peer, "SHA256:")) {
					t.Errorf("%s: got %+v", test.query, r)
				}
			}
		}
		if len(all) != n {
			t.Errorf("%s: got %+v, want %d links", test.query, all, n)
		}
	}
}

func TestRekeySaysWhichLinksHaveNoFreshKeys(t *testing.T) {
	r, _ := withLinks(func(ctx context.Context, forward string, peer int) error {
		switch {
		case forward == "b" && peer == 0:
			<-ctx.Done()
			return ctx.Err()
		case forward == "b":
			return errors.New("the link is gone")
		}
		return nil
	})
	var all []links.Rekeyed
	if err := json.Unmarshal(post(handler(r), "/rekey?wait=1ms").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var errs []string
	for _, r := range all {
		errs = append(errs, r.Error)
	}
	want := []string{"", "", "the peer has not confirmed yet: it may not be reading", "the link is gone"}
	if strings.Join(errs, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q, want %q", errs, want)
	}
}

func TestRekeyIsForNoOtherPage(t *testing.T) {
	r, updates := withLinks(func(context.Context, string, int) error { return nil })
	if w := get(t, r, "/rekey", "localhost"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d for a GET", w.Code)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://elsewhere.example"}} {
		if w := post(handler(r), "/rekey", header...); w.Code != http.StatusForbidden {
			t.Errorf("got %d with %q", w.Code, header)
		}
	}
	if *updates["a"] != [2]int{} {
		t.Errorf("links were updated %v times", *updates["a"])
	}
}

func TestRekeyIsForOneAtATime(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{}, 16)
	r, updates := withLinks(func(context.Context, string, int) error {
		begun <- struct{}{}
		<-release
		return nil
	})
	h := handler(r)
	answers := make(chan int, 2)
	go func() { answers <- post(h, "/rekey?forward=a").Code }()
	<-begun
	go func() { answers <- post(h, "/rekey").Code }()
	if code := <-answers; code != http.StatusConflict {
		t.Errorf("got %d while keys are being replaced", code)
	}
	close(release)
	if code := <-answers; code != http.StatusOK {
		t.Errorf("got %d", code)
	}
	if w := post(h, "/rekey"); w.Code != http.StatusOK || *updates["b"] != [2]int{1, 1} {
		t.Errorf("got %d %q, and %v updates, afterwards", w.Code, w.Body, *updates["b"])
	}
}
