package conformance

import (
	"fmt"

	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// keySchedule has the secrets of several epochs in a row.
type keySchedule struct {
	suited
	GroupID    hexBytes           `json:"group_id"`
	InitSecret hexBytes           `json:"initial_init_secret"`
	Epochs     []keyScheduleEpoch `json:"epochs"`
}

type keyScheduleEpoch struct {
	TreeHash       hexBytes `json:"tree_hash"`
	CommitSecret   hexBytes `json:"commit_secret"`
	PSKSecret      hexBytes `json:"psk_secret"`
	TranscriptHash hexBytes `json:"confirmed_transcript_hash"`

	GroupContext  hexBytes `json:"group_context"`
	JoinerSecret  hexBytes `json:"joiner_secret"`
	WelcomeSecret hexBytes `json:"welcome_secret"`
	InitSecret    hexBytes `json:"init_secret"`

	SenderDataSecret   hexBytes `json:"sender_data_secret"`
	EncryptionSecret   hexBytes `json:"encryption_secret"`
	ExporterSecret     hexBytes `json:"exporter_secret"`
	EpochAuthenticator hexBytes `json:"epoch_authenticator"`
	ExternalSecret     hexBytes `json:"external_secret"`
	ConfirmationKey    hexBytes `json:"confirmation_key"`
	MembershipKey      hexBytes `json:"membership_key"`
	ResumptionPSK      hexBytes `json:"resumption_psk"`

	ExternalPub hexBytes `json:"external_pub"`
	Exporter    struct {
		Label   string   `json:"label"`
		Context hexBytes `json:"context"`
		Length  uint32   `json:"length"`
		Secret  hexBytes `json:"secret"`
	} `json:"exporter"`
}

func (v *keySchedule) check(c *checker) {
	c.that(len(v.Epochs) > 0, "there are no epochs")
	initSecret := []byte(v.InitSecret)
	for i := range v.Epochs {
		initSecret = v.checkEpoch(c, uint64(i), initSecret)
	}
}

// checkEpoch compares the secrets of an epoch and returns its init secret.
func (v *keySchedule) checkEpoch(c *checker, epoch uint64, initSecret []byte) []byte {
	s, w := c.suite, &v.Epochs[epoch]
	equal := func(what string, got, want []byte) { c.equal(fmt.Sprintf("epoch %d: %s", epoch, what), got, want) }

	context := hooks.MLS.GroupContext(v.CipherSuite, v.GroupID, epoch, w.TreeHash, w.TranscriptHash)
	equal("group_context", context, w.GroupContext)
	joiner := keysched.JoinerSecret(s, initSecret, w.CommitSecret, context)
	equal("joiner_secret", joiner, w.JoinerSecret)
	// The welcome secret itself is not kept, but what is derived from it.
	key, nonce := keysched.WelcomeKey(s, joiner, w.PSKSecret)
	equal("key of welcome_secret", key, s.ExpandWithLabel(w.WelcomeSecret, "key", nil, s.KeySize()))
	equal("nonce of welcome_secret", nonce, s.ExpandWithLabel(w.WelcomeSecret, "nonce", nil, s.NonceSize()))

	e := keysched.NewEpoch(s, joiner, w.PSKSecret, context)
	equal("init_secret", e.InitSecret, w.InitSecret)
	equal("sender_data_secret", e.SenderDataSecret, w.SenderDataSecret)
	equal("encryption_secret", e.EncryptionSecret, w.EncryptionSecret)
	equal("exporter_secret", e.ExporterSecret, w.ExporterSecret)
	equal("epoch_authenticator", e.EpochAuthenticator, w.EpochAuthenticator)
	equal("external_secret", e.ExternalSecret, w.ExternalSecret)
	equal("confirmation_key", e.ConfirmationKey, w.ConfirmationKey)
	equal("membership_key", e.MembershipKey, w.MembershipKey)
	equal("resumption_psk", e.ResumptionPSK, w.ResumptionPSK)

	if external, err := keysched.ExternalKeyPair(s, e.ExternalSecret); c.ok("external_pub", err) {
		equal("external_pub", external.PublicKey(), w.ExternalPub)
	}
	if x := &w.Exporter; c.length("exporter.secret", int(x.Length)) {
		exported, err := e.Export(s, x.Label, x.Context, int(x.Length))
		c.ok("exporting", err)
		equal("exporter.secret", exported, x.Secret)
	}
	return e.InitSecret
}

func generateKeySchedule(g *generator) (vector, error) {
	v := &keySchedule{GroupID: g.octets(16), InitSecret: g.secret()}
	v.CipherSuite = g.suite.ID()
	initSecret := []byte(v.InitSecret)
	for epoch := range 3 {
		w := keyScheduleEpoch{TreeHash: g.secret(), CommitSecret: g.secret(), PSKSecret: g.secret(), TranscriptHash: g.secret()}
		if epoch == 0 {
			w.PSKSecret = make(hexBytes, g.suite.HashSize())
		}
		var err error
		if initSecret, err = w.derive(g, v.GroupID, uint64(epoch), initSecret); err != nil {
			return nil, err
		}
		v.Epochs = append(v.Epochs, w)
	}
	return v, nil
}

// derive fills in what follows from the inputs of an epoch, and returns its init
// secret.
func (w *keyScheduleEpoch) derive(g *generator, groupID []byte, epoch uint64, initSecret []byte) ([]byte, error) {
	s := g.suite
	w.GroupContext = hooks.MLS.GroupContext(s.ID(), groupID, epoch, w.TreeHash, w.TranscriptHash)
	w.JoinerSecret = keysched.JoinerSecret(s, initSecret, w.CommitSecret, w.GroupContext)
	w.WelcomeSecret = s.DeriveSecret(s.Extract(w.JoinerSecret, w.PSKSecret), "welcome")

	e := keysched.NewEpoch(s, w.JoinerSecret, w.PSKSecret, w.GroupContext)
	w.InitSecret, w.SenderDataSecret, w.EncryptionSecret = e.InitSecret, e.SenderDataSecret, e.EncryptionSecret
	w.ExporterSecret, w.EpochAuthenticator, w.ExternalSecret = e.ExporterSecret, e.EpochAuthenticator, e.ExternalSecret
	w.ConfirmationKey, w.MembershipKey, w.ResumptionPSK = e.ConfirmationKey, e.MembershipKey, e.ResumptionPSK

	external, err := keysched.ExternalKeyPair(s, e.ExternalSecret)
	if err != nil {
		return nil, err
	}
	w.ExternalPub = external.PublicKey()
	x := &w.Exporter
	x.Label, x.Context, x.Length = fmt.Sprintf("label %d", epoch), g.octets(32), uint32(16+16*epoch)
	x.Secret, err = e.Export(s, x.Label, x.Context, int(x.Length))
	return e.InitSecret, err
}
