package conformance

import (
	"bytes"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// Who has no secrets follows the groups of the official vectors from the member that
// has them, and after a restart in each epoch: others made all that it sees.
func TestObserversFollowOfficialVectors(t *testing.T) {
	for name, wantEpochs := range map[string]int{"passive-client-handling-commit": 182, "passive-client-random": 200} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cases []passiveClient
			testvectors.Load(t, name, &cases)
			epochs := 0
			for i := range cases {
				epochs += cases[i].observe(t, i)
			}
			if epochs != wantEpochs {
				t.Errorf("followed through %d epochs, want %d", epochs, wantEpochs)
			}
		})
	}
}

// observe follows case i with an observer, and returns through how many epochs.
func (v *passiveClient) observe(t *testing.T, i int) (epochs int) {
	t.Helper()
	suite, err := ciphersuite.Default().Lookup(v.CipherSuite)
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{suite: suite}
	defer func() {
		for _, err := range c.errs {
			t.Errorf("case %d: %v", i, err)
		}
	}()
	bundle := v.bundle(c)
	if bundle == nil {
		return 0
	}
	notBefore, notAfter, err := hooks.MLS.WelcomeLifetime(v.config(time.Time{}), bundle, v.Welcome, v.tree())
	if !c.ok("welcome", err) {
		return 0
	}
	cfg := v.config(time.Unix(int64(notBefore/2+notAfter/2), 0))
	g, err := mls.Join(cfg, v.Welcome, bundle, mls.JoinOptions{RatchetTree: v.tree()})
	if !c.ok("welcome", err) {
		return 0
	}
	info, err := g.GroupInfo(mls.GroupInfoOptions{})
	if !c.ok("GroupInfo", err) {
		return 0
	}
	o, err := mls.NewObserver(cfg, info, nil)
	if !c.ok("observer", err) {
		return 0
	}
	for k := range v.Epochs {
		e := &v.Epochs[k]
		for _, p := range e.Proposals {
			if _, err := o.Process(p); !c.ok("observed proposal", err) {
				return epochs
			}
		}
		if o, err = mls.RestoreObserver(cfg, o.Marshal()); !c.ok("restored observer", err) {
			return epochs
		}
		received, err := o.Process(e.Commit)
		if !c.ok("observed commit", err) {
			return epochs
		}
		o = received.(*mls.ObservedCommit).Observer()
		if g = c.nextEpoch(k, g, e); g == nil {
			return epochs
		}
		if o.Epoch() != g.Epoch() || !bytes.Equal(o.RatchetTree(), g.RatchetTree()) || !bytes.Equal(o.TreeHash(), g.TreeHash()) {
			t.Errorf("case %d, epoch %d: the observer has another view than the member", i, g.Epoch())
		}
		epochs++
	}
	return epochs
}
