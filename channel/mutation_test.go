package channel

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var runMutations = flag.Bool("mutations", false, "build each deliberate fault in and check that a test fails")

// A mutation is a deliberate fault, and the tests of which one has to notice it.
type mutation struct {
	fault    string
	file     string
	old, new string
	tests    string
}

// mutations are listed in docs/security.md too.
var mutations = []mutation{
	{"KeySwitch is not sent", "update.go",
		"		send(MessageKeySwitch, append(epochBody(s.group.Epoch()), confirmation(body)...)),\n", "",
		"TestKeysChangeBetweenMessages"},
	{"any EpochKeyUpdate is taken", "update.go",
		"	if err := verifyAcknowledgement(s.pending.groups(), body); err != nil {\n", "	if err := error(nil); err != nil {\n",
		"TestEveryByteFlipped"},
	{"a KeySwitch without the acknowledgement is taken", "update.go",
		"!bytes.Equal(body, want) {\n		return nil, because(AlertIllegalParameter, fmt.Errorf(\"%w: KeySwitch", "!bytes.HasPrefix(body, epochBody(s.group.Epoch())) {\n		return nil, because(AlertIllegalParameter, fmt.Errorf(\"%w: KeySwitch",
		"TestAFloodOfUpdatesEndsTheSession"},
	{"a repeated commit is applied again", "resumption.go",
		"	duplicate := bytes.Equal(hashCommit(body), s.lastCommit)\n", "	duplicate := bytes.Equal(nil, s.id[:])\n",
		"TestReplayedRequestIsAnsweredWithTheSameResponse|TestCutAtEveryMessageThenResume"},
	{"the epoch before is kept", "update.go",
		"	s.groups().erase()\n	s.secrets.erase()\n", "",
		"TestSecretsOfPastEpochsAreErased"},
	{"a commit is sent before it is saved", "update.go",
		"	if err := s.save(ctx); err != nil {\n		s.dropPending()\n", "	if err := error(nil); err != nil {\n		s.dropPending()\n",
		"TestCutAtEveryMessageThenResume|TestUpdateThatCannotBeSavedChangesNothing"},
	{"nobody prevails where requests cross", "resumption.go",
		"	if s.prevails {\n		return nil, s.ignore(body)", "	if false {\n		return nil, s.ignore(body)",
		"TestCrossingRequestsAfterLostAcknowledgement|TestCutAtEveryMessageThenResume"},
	{"the end that prevails yields on another connection", "resumption.go",
		"	if s.prevails && s.pending != nil && header", "	if false && s.pending != nil && header",
		"TestEveryOrderOfResumptionsOnTwoConnections|TestEveryOrderOfOldAndNewConnection"},
	{"a fresh commit takes the place of a pending one", "resumption.go",
		"	if s.pending == nil {\n		if err := s.commit(ctx, purposeResumptionResponse", "	if true {\n		if err := s.commit(ctx, purposeResumptionResponse",
		"TestReplayedRequestIsAnsweredWithTheSameResponse|TestCutTwiceAtEveryMessageThenResume"},
	{"the responder does not wait for HandshakeDone", "handshake.go",
		"	s.enter(StateAwaitingHandshakeDone)\n", "	s.enter(StateSynced)\n",
		"TestReplayedClientHelloNeverCompletes|TestEveryMessageInEveryState"},
	{"the exporter secret is kept", "keys.go",
		"	g.EraseExporterSecret()\n", "",
		"TestExporterSecretIsErased"},
	{"a worse suite is taken", "retry.go",
		"		if id != k.CipherSuite {\n", "		if false {\n",
		"TestHelloBelowTheBestSuiteIsRefused"},
	{"the exchange before a hello is not checked", "retry.go",
		"	if subtle.ConstantTimeCompare(o.parameters.retry, s.retry) != 1 {\n", "	if subtle.ConstantTimeCompare(nil, nil) != 1 {\n",
		"TestForgedRetryIsFoundOut"},
	{"a request that is acknowledged already is answered anew", "resumption.go",
		"	if s.pending == nil && bytes.Equal(hashCommit(body), s.lastCommit) {\n", "	if s.pending == nil && bytes.Equal(nil, s.lastCommit) {\n",
		"TestReplaysDoNotTakeASessionOver"},
	{"the validator is not asked about a repeated request", "resumption.go",
		"		err = s.verifyDuplicate()\n", "",
		"TestValidatorRunsAtEveryResumption"},
	{"a fault in the clear deletes the session", "session.go",
		"	if m.Protected && s.state.receivesProtected() && !ours {\n", "	if !ours {\n",
		"TestForgedRequestLeavesStoredSessionUsable|TestEveryMessageInEveryState"},
	{"early data that was delivered is not remembered", "earlydata.go",
		"	s.earlyDigest = earlyDigest(s.group, secret, data)\n", "",
		"TestReplayedEarlyDataIsDeliveredOnce"},
	{"two attempts share the key of their early data", "earlydata.go",
		"	if _, err := io.ReadFull(s.mls.Rand, e.nonce); err != nil {\n", "	if _, err := io.ReadFull(s.mls.Rand, nil); err != nil {\n",
		"TestOtherEarlyDataWithARepeatedRequestIsRejected"},
	{"an update that was dropped is forgotten", "update.go",
		"	s.wanted = s.pending.and(s.wanted)\n", "",
		"TestDroppedUpdateIsMadeAgainIfItsReasonHolds"},
	{"a peer may change what was negotiated", "update.go",
		"	return verifySameParameters(peerLeaf(g.Group), peerLeaf(c.next.Group))\n", "	return nil\n",
		"TestParametersStayAsNegotiated"},
	{"commits may have any proposals", "update.go",
		"	if err := verifyOnlyPSKs(c.proposals(0)); err != nil {\n", "	if err := error(nil); err != nil {\n",
		"TestCommitWithOtherProposalsIsRefused"},
	{"the transport is not bound into the keys", "keys.go",
		"g.Export(d.label, s.binding,", "g.Export(d.label, nil,",
		"TestTransportIsBoundIntoTheKeysOfEachConnection"},
	{"a connection goes on that another has superseded", "persist.go",
		"	case errors.Is(err, ErrConflict):\n		return because(AlertUserCanceled, ErrSuperseded)\n", "	case errors.Is(err, ErrConflict):\n		return nil\n",
		"TestNewerConnectionSupersedesOlder"},
	{"a session may be of any age", "persist.go",
		"age > s.cfg.MaxSessionAge {\n", "age < 0 {\n",
		"TestExpiredSessionIsNotResumed"},
	{"a message that crosses ours is ignored again and again", "update.go",
		"	if s.ignored {\n", "	if false {\n",
		"TestSecondCrossingMessageIsAnError"},
	{"the peer's pre-shared keys are taken on trust", "handshake.go",
		"	return s.agreed(offered, chosen), s.verifyUsedPSKs(chosen)\n", "	return s.agreed(offered, chosen), nil\n",
		"TestWelcomeHasToHoldTheChosenKeys"},
	{"a branch may have any members", "branch.go",
		"	if n := len(g.Members()); n != 2 || g.OwnLeaf() != 1 {\n", "	if n := len(g.Members()); n < 2 {\n",
		"TestWelcomesThatAreNoneOfABranch"},
	{"a branch may be with anybody", "branch.go",
		"	if !bytes.Equal(leaf.SignatureKey, peer.SignatureKey) || !leaf.Credential.Equal(peer.Credential) {\n", "	if !bytes.Equal(leaf.SignatureKey, leaf.SignatureKey) || !leaf.Credential.Equal(peer.Credential) {\n",
		"TestWelcomesThatAreNoneOfABranch|TestKeyPackagesThatAreNoneOfThePeers"},
	{"the validator is not asked about a branch", "branch.go",
		"	return s.mls.AuthenticationService.ValidateLeaf(leaf, nil)\n", "	return nil\n",
		"TestAFounderThatIsNotAcceptedAnyMore|TestKeyPackagesThatAreNoneOfThePeers"},
	{"what a branch needs is kept when nobody waits", "branch.go",
		"	if b == nil || len(b.waiting) == 0 {\n", "	if b == nil {\n",
		"TestWhatIsKeptForABranchIsErased"},
	{"a branch of a past epoch cannot be joined", "update.go",
		"	s.branches.leave(s.group)\n", "",
		"TestABranchAtEveryMomentOfTwoUpdates"},
	{"the second key package of a hello may be any", "apqhandshake.go",
		"!bytes.Equal(offered.parameters.pqKeyPackage, want) {\n", "!bytes.Equal(want, want) {\n",
		"TestTheKeyPackagesOfAHelloAreBound"},
	{"ends that make two groups may be led to one", "retry.go",
		"	if err := s.verifyPairs(APQSuites{}, o); err != nil {\n", "	if err := error(nil); err != nil {\n",
		"TestTwoGroupsAreNotDowngraded"},
	{"a full update that is dropped becomes a partial one", "update.go",
		"	return wish{w.reason.or(other.reason), slices.Concat(w.psks, other.psks), w.full || other.full}\n", "	return wish{w.reason.or(other.reason), slices.Concat(w.psks, other.psks), other.full}\n",
		"TestAFullUpdateThatCrossesIsMadeAgain"},
	{"the age of post-quantum keys is forgotten", "persist.go",
		"		s.fullAt = int64(r.Uint64())\n", "		r.Uint64()\n",
		"TestTheAgeOfPostQuantumKeysIsKept"},
	{"the halves of a full update may have two purposes", "update.go",
		"		if !bytes.Equal(half.AuthenticatedData, c.halves[0].AuthenticatedData) {\n", "		if false {\n",
		"TestFullCommitsOfTheWrongKindAreRefused"},
	{"an EpochKeyUpdate names one epoch", "apq.go",
		"	if g.isFull() {\n		return append(epochBody(g.Epoch())", "	if false {\n		return append(epochBody(g.Epoch())",
		"TestEpochKeyUpdateNamesBothEpochs"},
}

// apply returns the source with the fault.
func (m mutation) apply() ([]byte, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return nil, fmt.Errorf("%q is %d times in %s, want once", m.old, n, m.file)
	}
	return []byte(strings.Replace(string(source), m.old, m.new, 1)), nil
}

// run reports whether one of the tests fails with the fault.
func (m mutation) run(t *testing.T) (noticed bool, output string) {
	t.Helper()
	source, err := m.apply()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	faulty := filepath.Join(dir, m.file)
	if err := os.WriteFile(faulty, source, 0o600); err != nil {
		t.Fatal(err)
	}
	original := must(filepath.Abs(m.file))
	overlay := must(json.Marshal(map[string]map[string]string{"Replace": {original: faulty}}))
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	const limit = 10 * time.Minute // a fault may make a test hang
	limited, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := exec.CommandContext(limited, "go", "test", "-vet=off", "-overlay", list, "-run", "^("+m.tests+")", ".").CombinedOutput()
	if limited.Err() != nil {
		t.Fatalf("the tests of the fault are not done after %v: %s", limit, out)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "no tests to run") {
		t.Fatalf("the fault cannot be tested: %s", out)
	}
	return err != nil && strings.Contains(string(out), "--- FAIL"), string(out)
}

// Tests that cannot fail prove nothing.
func TestEveryDeliberateFaultIsNoticed(t *testing.T) {
	page := string(must(os.ReadFile("../docs/security.md")))
	for _, m := range mutations {
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.fault, err)
		}
		row := fmt.Sprintf("\n| %s | `%s` | %s |\n", m.fault, m.file, strings.ReplaceAll(m.tests, "|", ", "))
		if !strings.Contains(page, row) {
			t.Errorf("docs/security.md lacks the row%s", row)
		}
	}
	if !*runMutations {
		return
	}
	for _, m := range mutations {
		t.Run(m.fault, func(t *testing.T) {
			if noticed, output := m.run(t); !noticed {
				t.Errorf("no test of %s fails:\n%s", m.tests, output)
			}
		})
	}
}
