package mls

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

const (
	notesComponent ComponentID = 0x8011 // has rules of its own
	plainComponent ComponentID = 0x8012 // has none
)

var errComponent = errors.New("the component does not want that")

// notes is a component whose entry grows by what its updates bring.
func notes() Component {
	return Component{
		ID: notesComponent, Name: "notes",
		Validate: func(_ ExtensionPlace, data []byte) error {
			if bytes.Contains(data, []byte("bad")) {
				return errComponent
			}
			return nil
		},
		Update: func(old []byte, updates []ComponentUpdate) ([]byte, error) {
			data := bytes.Clone(old)
			if old == nil {
				data = []byte("new:")
			}
			for _, u := range updates {
				if string(u.Data) == "impossible" {
					return nil, errComponent
				}
				data = fmt.Appendf(data, "%s;", u.Data)
			}
			return data, nil
		},
		Remove: func(_ []byte, in ProposalContext) error {
			if in.Sender.Type != SenderMember {
				return errComponent
			}
			return nil
		},
		Ephemeral: func(data []byte, in ProposalContext) error {
			d, err := in.Extensions.AppDataDictionary()
			if err != nil {
				return err
			}
			// What the default proposals of a commit bring is there already, what
			// its updates bring is not.
			entry, _ := d.Find(notesComponent)
			if string(data) == "bad" || string(data) == "entry?" && entry != nil || string(data) == "context?" && len(in.Extensions) == 0 {
				return errComponent
			}
			return nil
		},
	}
}

func componentConfig(cfg *Config) {
	cfg.Components = []Component{notes(), {ID: plainComponent, Name: "plain"}}
}

// componentCrowd is a group of clients that know the two components.
func componentCrowd(t failer, n int, extensions ...Extension) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = componentConfig
	c.found(GroupOptions{Extensions: extensions})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

// wantEntry checks what the first member has of a component; want "" is for no entry.
func (c *crowd) wantEntry(id ComponentID, want string) {
	c.t.Helper()
	d, err := c.members[0].g.Extensions().AppDataDictionary()
	if err != nil {
		c.t.Fatal(err)
	}
	if data, ok := d.Find(id); string(data) != want || ok != (want != "") {
		c.t.Errorf("component %#04x has the entry %q (%v), want %q", uint16(id), data, ok, want)
	}
}

func mustExtension(d AppDataDictionary) Extension {
	x, err := d.Extension()
	if err != nil {
		panic(err) // the test's own data is out of order
	}
	return x
}

func update(id ComponentID, data string) *AppDataUpdate {
	return &AppDataUpdate{Component: id, Update: []byte(data)}
}

func TestUpdatesChangeTheDictionaryWithoutAPath(t *testing.T) {
	c := componentCrowd(t, 3)
	c.propose(1, update(notesComponent, "one"))
	c.propose(2, update(plainComponent, "old"))
	c.restart()
	pending, err := c.members[0].g.Commit(CommitOptions{OmitPath: true, Proposals: []Proposal{
		update(notesComponent, "two"), update(plainComponent, "plain"), update(notesComponent, "three"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	received := c.members[1].clone(t)
	commit, err := received.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	if r := commit.(*ReceivedCommit); r.HasPath || len(r.Proposals) != 5 || r.Proposals[4].Proposal.(*AppDataUpdate).Component != notesComponent {
		t.Errorf("commit is %+v", r)
	}
	c.deliver(0, pending)
	c.wantEntry(notesComponent, "new:one;two;three;")
	c.wantEntry(plainComponent, "plain")

	c.commit(2, CommitOptions{OmitPath: true, Proposals: []Proposal{
		&AppDataUpdate{Component: plainComponent, Remove: true}, update(notesComponent, "four"),
	}})
	c.wantEntry(notesComponent, "new:one;two;three;four;")
	c.wantEntry(plainComponent, "")
	c.restart()
	c.commit(1, CommitOptions{OmitPath: true, Proposals: []Proposal{&AppDataUpdate{Component: notesComponent, Remove: true}}})
	c.wantEntry(notesComponent, "")
	c.commit(1, CommitOptions{OmitPath: true, Proposals: []Proposal{update(plainComponent, "again")}})
	c.wantEntry(plainComponent, "again")
	c.checkMessages()
}

// An entry without content is not the same as none.
// A component tells new members something that nobody else learns, and that is in no state.
// draft-ietf-mls-extensions, Section 4.6.
func TestNewMembersAreToldByTheGroupInfo(t *testing.T) {
	c := componentCrowd(t, 2)
	told := mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("for who comes now")}})
	told2 := Extension{Type: 0xF00D, Data: []byte("something else")}
	o := CommitOptions{GroupInfoExtensions: Extensions{told, told2}, Proposals: []Proposal{c.invite(LeafOptions{}), c.invite(LeafOptions{})}}
	pending, err := c.members[0].g.Commit(o)
	if err != nil {
		t.Fatal(err)
	}
	for what, message := range map[string][]byte{"commit": pending.Message(), "Welcome": pending.Welcome()} {
		if bytes.Contains(message, []byte("for who comes now")) {
			t.Errorf("the %s says it to everybody", what)
		}
	}
	c.deliver(0, pending)
	for i, m := range c.members {
		got := m.g.GroupInfoExtensions()
		if i < 2 {
			if len(got) != 0 {
				t.Errorf("%s, who was there, has %v", m.name, got)
			}
			continue
		}
		if !reflect.DeepEqual(got, Extensions{told, told2}) {
			t.Errorf("%s was told %v", m.name, got)
		}
		got[0].Data[0]++
		if again := m.g.GroupInfoExtensions(); !reflect.DeepEqual(again, Extensions{told, told2}) {
			t.Errorf("%s: the caller has changed them to %v", m.name, again)
		}
		if restored := m.clone(t); len(restored.GroupInfoExtensions()) != 0 {
			t.Errorf("%s: they are there after a restart", m.name)
		}
	}
	c.commit(0, CommitOptions{})
	for _, m := range c.members {
		if got := m.g.GroupInfoExtensions(); len(got) != 0 {
			t.Errorf("%s still has %v in the next epoch", m.name, got)
		}
	}
	// Who comes from outside is told by the GroupInfo that it was given.
	info := must(c.members[0].g.GroupInfo(GroupInfoOptions{Extensions: Extensions{told}}))
	joiner := c.newClient()
	outside, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id})
	if err != nil {
		t.Fatal(err)
	}
	if got := outside.Group().GroupInfoExtensions(); !reflect.DeepEqual(got, Extensions{told}) {
		t.Errorf("from outside: told %v", got)
	}
	// What its component refuses is not sent.
	bad := mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("bad")}})
	_, err = c.members[0].g.GroupInfo(GroupInfoOptions{Extensions: Extensions{bad}})
	wantCheck(t, err, CheckComponentData)
	_, err = c.members[0].g.Commit(CommitOptions{GroupInfoExtensions: Extensions{bad}, Proposals: []Proposal{c.invite(LeafOptions{})}})
	wantCheck(t, err, CheckComponentData)
}

// So do clients that keep their groups in a store.
func TestClientsAreToldByTheGroupInfo(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.configure = componentConfig
	f.found(1)
	joiner := f.newDevice()
	told := mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("for who comes now")}})
	f.commit(0, CommitOptions{GroupInfoExtensions: Extensions{told}, Proposals: []Proposal{joiner.keyPackage()}}, joiner)
	if got := joiner.view().GroupInfoExtensions(); !reflect.DeepEqual(got, Extensions{told}) {
		t.Errorf("told %v", got)
	}
	if got := f.devices[0].view().GroupInfoExtensions(); len(got) != 0 {
		t.Errorf("who was there has %v", got)
	}
}

func TestComponentsTellAnEmptyEntryFromNone(t *testing.T) {
	c := componentCrowd(t, 2, mustExtension(AppDataDictionary{{ID: notesComponent}}))
	c.commit(1, CommitOptions{OmitPath: true, Proposals: []Proposal{update(notesComponent, "x")}})
	c.wantEntry(notesComponent, "x;")
}

// The dictionary comes last among the extensions if it is new, and stays where
// it is if not.
func TestTheDictionaryHasItsPlaceAmongTheExtensions(t *testing.T) {
	required := (&RequiredCapabilities{}).Extension()
	c := componentCrowd(t, 2, required)
	c.commit(0, CommitOptions{Proposals: []Proposal{update(plainComponent, "a")}})
	types := func() (types []ExtensionType) {
		for _, x := range c.members[1].g.Extensions() {
			types = append(types, x.Type)
		}
		return types
	}
	if got := types(); !slices.Equal(got, []ExtensionType{ExtensionRequiredCapabilities, ExtensionAppDataDictionary}) {
		t.Errorf("extensions are %v", got)
	}
	dictionary, _ := c.members[0].g.Extensions().Find(ExtensionAppDataDictionary)
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{{ExtensionAppDataDictionary, dictionary}, required}}}})
	c.commit(1, CommitOptions{Proposals: []Proposal{update(notesComponent, "b")}})
	if got := types(); !slices.Equal(got, []ExtensionType{ExtensionAppDataDictionary, ExtensionRequiredCapabilities}) {
		t.Errorf("extensions are %v", got)
	}
	c.wantEntry(plainComponent, "a")
	c.wantEntry(notesComponent, "new:b;")
}

// Default proposals come first, then AppEphemeral, then AppDataUpdate, whatever
// the order in the commit.
func TestComponentProposalsAreAppliedInOrder(t *testing.T) {
	c := componentCrowd(t, 3)
	d := AppDataDictionary{{ID: plainComponent, Data: []byte("from GroupContextExtensions")}}
	c.commit(0, CommitOptions{Proposals: []Proposal{
		update(notesComponent, "last"),
		&AppEphemeral{Component: notesComponent, Data: []byte("entry?")},
		&GroupContextExtensions{Extensions{mustExtension(d)}},
	}})
	c.wantEntry(notesComponent, "new:last;")
	c.wantEntry(plainComponent, "from GroupContextExtensions")
}

// The Ephemeral of a component gets the data in the order of the commit, after
// the default proposals.
func TestEphemeralsReachTheirComponentInOrder(t *testing.T) {
	var seen [][]string // by commit
	var contexts []int
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		componentConfig(cfg)
		cfg.Components[1].Ephemeral = func(data []byte, in ProposalContext) error {
			seen[len(seen)-1] = append(seen[len(seen)-1], string(data))
			contexts = append(contexts, len(in.Extensions))
			return nil
		}
	}
	c.found(GroupOptions{})
	c.add(0, 2)
	seen = append(seen, nil)
	c.propose(1, &AppEphemeral{Component: plainComponent, Data: []byte("a")})
	c.propose(2, &AppEphemeral{Component: plainComponent, Data: []byte("b")})
	pending, err := c.members[0].g.Commit(CommitOptions{OmitPath: true, Proposals: []Proposal{
		&AppEphemeral{Component: plainComponent, Data: []byte("c")}, &GroupContextExtensions{Extensions{(&RequiredCapabilities{}).Extension()}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	seen, contexts = append(seen, nil), nil
	received := c.process(1, pending.Message()).(*ReceivedCommit)
	// c, which came with the commit, is asked about by itself first.
	if got := seen[1]; !slices.Equal(got, []string{"c", "a", "b", "c"}) || !slices.Equal(contexts, []int{0, 1, 1, 1}) {
		t.Errorf("the component was asked about %q with %d extensions", got, contexts)
	}
	var data []string
	for _, p := range received.Proposals {
		if e, ok := p.Proposal.(*AppEphemeral); ok {
			data = append(data, string(e.Data))
		}
	}
	if !slices.Equal(data, []string{"a", "b", "c"}) {
		t.Errorf("the commit shows %q", data)
	}
	if x := received.Group().Extensions(); len(x) != 1 || x[0].Type != ExtensionRequiredCapabilities {
		t.Errorf("the GroupContext has the extensions %v", x)
	}
}

func TestComponentProposalsComeFromOutside(t *testing.T) {
	c := componentCrowd(t, 2)
	c.format = WireFormatPublicMessage
	signer := c.members[0].id.Signer
	key := must(c.suite.SignaturePublicKey(signer.Public()))
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{ExternalSenders(ExternalSender{SignatureKey: key})}}}})
	o := c.observer(0)
	g := c.members[0].g
	from := ExternalProposalOptions{Suite: suite1, GroupID: g.GroupID(), Epoch: g.Epoch(), Signer: signer}
	for _, p := range []Proposal{update(notesComponent, "outside"), &AppEphemeral{Component: plainComponent, Data: []byte("once")}} {
		message := must(ProposeAsExternalSender(g.cfg, from, p))
		for i := range c.members {
			c.process(i, message)
		}
		if _, err := o.Process(message); err != nil {
			t.Fatal(err)
		}
	}
	pending, err := c.members[1].g.Commit(CommitOptions{OmitPath: true, WireFormat: c.format})
	if err != nil {
		t.Fatal(err)
	}
	o = c.observe(o, pending.Message())
	c.deliver(1, pending)
	c.wantEntry(notesComponent, "new:outside;")
	c.wantSameView(o)
}

func TestExternalCommitsHoldComponentProposals(t *testing.T) {
	c := componentCrowd(t, 2)
	o := c.observer(1)
	joiner := c.newClient()
	pending := c.externalJoin(0, joiner, ExternalJoinOptions{Proposals: []Proposal{
		update(notesComponent, "joined"), &AppEphemeral{Component: notesComponent, Data: []byte("hello")},
	}})
	o = c.observe(o, pending.Message())
	for i, m := range c.members {
		m.adopt(c.process(i, pending.Message()).(*ReceivedCommit).Group())
	}
	joiner.g = pending.Group()
	c.members = append(c.members, joiner)
	c.checkAgreement()
	c.wantEntry(notesComponent, "new:joined;")
	c.wantSameView(o)
}

// A component's own rules can be narrower than the draft's.
func TestComponentsMayRefuseAnExternalSender(t *testing.T) {
	c := componentCrowd(t, 2)
	signer := c.members[0].id.Signer
	key := must(c.suite.SignaturePublicKey(signer.Public()))
	c.commit(0, CommitOptions{Proposals: []Proposal{
		&GroupContextExtensions{Extensions{ExternalSenders(ExternalSender{SignatureKey: key})}}, update(notesComponent, "mine"),
	}})
	g := c.members[0].g
	from := ExternalProposalOptions{Suite: suite1, GroupID: g.GroupID(), Epoch: g.Epoch(), Signer: signer}
	message := must(ProposeAsExternalSender(g.cfg, from, &AppDataUpdate{Component: notesComponent, Remove: true}))
	for i := range c.members {
		c.process(i, message)
	}
	c.commit(1, CommitOptions{}) // without it
	c.wantEntry(notesComponent, "new:mine;")
}

func TestWithoutComponentsTheirProposalsAreNotSupported(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	if capabilities := c.members[0].g.Leaf(0).Capabilities; len(capabilities.Proposals) != 0 || len(capabilities.Extensions) != 0 {
		t.Errorf("capabilities are %+v", capabilities)
	}
	for _, p := range []Proposal{update(plainComponent, "?"), &AppEphemeral{Component: plainComponent}} {
		if _, err := c.members[0].g.Propose(p, ProposeOptions{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: error %v, want ErrUnsupported", p.ProposalType(), err)
		}
		if err := c.refused(c.forgeCommit(byValue(p)...)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: error %v, want ErrUnsupported", p.ProposalType(), err)
		}
	}
}

func TestClientsWithComponentsSaySo(t *testing.T) {
	c := componentCrowd(t, 2)
	for _, m := range c.members[0].g.Members() {
		capabilities := m.Leaf.Capabilities
		if !slices.Equal(capabilities.Proposals, []ProposalType{ProposalAppDataUpdate, ProposalAppEphemeral}) || !slices.Equal(capabilities.Extensions, []ExtensionType{ExtensionAppDataDictionary}) {
			t.Errorf("leaf %d has the capabilities %+v", m.Index, capabilities)
		}
	}
	if got := ProposalAppDataUpdate.String() + " " + ProposalAppEphemeral.String(); got != "app_data_update app_ephemeral" {
		t.Errorf("the types are called %s", got)
	}
}

func TestComponentsMustNotTakeTheNumbersOfOthers(t *testing.T) {
	c := emptyCrowd(t, suite1)
	for name, change := range map[string]func(*Config){
		"reserved": func(cfg *Config) { cfg.Components = []Component{{ID: 0}} },
		"built in": func(cfg *Config) { cfg.Components = []Component{{ID: ComponentSafeAAD}} },
		"twice":    func(cfg *Config) { cfg.Components = []Component{{ID: 0x8001}, {ID: 0x8001}} },
		"proposal types": func(cfg *Config) {
			componentConfig(cfg)
			cfg.Proposals = []CustomProposalType{{Type: ProposalAppEphemeral}}
		},
	} {
		founder := c.newClient()
		change(founder.cfg)
		if _, err := NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMalformedComponentProposalsDoNotDecode(t *testing.T) {
	for name, encoded := range map[string][]byte{
		"update without data":    {0, 8, 0x80, 0x11, 1},
		"update cut short":       {0, 8, 0x80, 0x11, 1, 2, 'a'},
		"operation 0":            {0, 8, 0x80, 0x11, 0, 0},
		"operation 3":            {0, 8, 0x80, 0x11, 3, 0},
		"no operation":           {0, 8, 0x80, 0x11},
		"remove with data":       {0, 8, 0x80, 0x11, 2, 0},
		"half a component ID":    {0, 9, 0x80},
		"ephemeral without data": {0, 9, 0x80, 0x11},
		"ephemeral cut short":    {0, 9, 0x80, 0x11, 2, 'a'},
	} {
		r := wire.NewReaderWithContext(encoded, allProposals)
		readProposal(r)
		if r.Finish() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, p := range []Proposal{
		update(notesComponent, "data"), &AppDataUpdate{Component: 0xFFFF, Remove: true}, &AppEphemeral{Component: 1, Data: []byte("data")},
	} {
		var w wire.Writer
		writeProposal(&w, p)
		r := wire.NewReaderWithContext(w.Data(), allProposals)
		var again wire.Writer
		if q := readProposal(r); r.Finish() == nil {
			writeProposal(&again, q)
		}
		if !bytes.Equal(again.Data(), w.Data()) {
			t.Errorf("%x reads as %x", w.Data(), again.Data())
		}
	}
}

// observe has an observer process a commit.
func (c *crowd) observe(o *Observer, message []byte) *Observer {
	c.t.Helper()
	received, err := o.Process(message)
	if err != nil {
		c.t.Fatal(err)
	}
	return received.(*ObservedCommit).Observer()
}

func componentRefusals() []refusal {
	entry := AppDataDictionary{{ID: notesComponent, Data: []byte("entry")}}
	proposals := func(check Check, name string, proposals ...Proposal) refusal {
		return refusal{check, name, func(t *testing.T) error {
			return componentCrowd(t, 2, mustExtension(entry)).refusedProposals(proposals...)
		}}
	}
	alone := func(check Check, name string, p Proposal) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := componentCrowd(t, 2)
			_, own := c.members[0].g.Propose(p, ProposeOptions{})
			err := c.refused(c.forge(0, ContentProposal, WireFormatPrivateMessage, func(a *authenticatedContent) { a.content.proposal = p }))
			c.sameRule(own, err)
			return err
		}}
	}
	// fixed is a group that requires AppDataUpdate of its members.
	fixed := func(name string, had bool, after func(own Extension) Extensions) refusal {
		return refusal{CheckContextDictionary, name, func(t *testing.T) error {
			required := RequiredCapabilities{Proposals: []ProposalType{ProposalAppDataUpdate}}
			before := Extensions{required.Extension()}
			own := mustExtension(entry)
			if had {
				before = append(before, own)
			}
			return componentCrowd(t, 2, before...).refusedProposals(&GroupContextExtensions{after(own)})
		}}
	}
	remove := &AppDataUpdate{Component: notesComponent, Remove: true}
	bad := mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("bad")}})
	return []refusal{
		proposals(CheckAppDataUpdateComponent, "unknown", update(0x8013, "data")),
		alone(CheckAppDataUpdateComponent, "unknown, by itself", update(0x8013, "data")),
		proposals(CheckAppDataUpdateComponent, "unknown, removed", &AppDataUpdate{Component: 0x8013, Remove: true}),
		proposals(CheckAppDataUpdateList, "removed twice", remove, remove),
		proposals(CheckAppDataUpdateList, "updated, then removed", update(notesComponent, "a"), remove),
		proposals(CheckAppDataUpdateList, "removed, then updated", remove, update(plainComponent, "a"), update(notesComponent, "a")),
		proposals(CheckAppDataUpdateRemove, "not there", &AppDataUpdate{Component: plainComponent, Remove: true}),
		proposals(CheckAppDataUpdateData, "refused", update(notesComponent, "a"), update(notesComponent, "impossible")),
		{CheckAppDataUpdateData, "removed from outside", func(t *testing.T) error {
			c := componentCrowd(t, 1, mustExtension(entry))
			info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
			joiner := c.newClient()
			_, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id, Proposals: []Proposal{remove}})
			return err
		}},
		proposals(CheckComponentData, "after an update", update(notesComponent, "bad")),
		proposals(CheckComponentData, "in a GroupContext", &GroupContextExtensions{Extensions{bad}}),
		{CheckComponentData, "in a leaf", func(t *testing.T) error {
			c := componentCrowd(t, 2)
			c.configure = nil
			return c.refusedProposals(c.spoiltAdd(LeafOptions{Extensions: Extensions{bad}}, func(k *KeyPackage) { k.verified = nil }))
		}},
		{CheckComponentData, "in a key package", func(t *testing.T) error {
			leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}}
			c := componentCrowd(t, 2)
			c.configure = nil
			return c.refusedProposals(c.spoiltAdd(leaf, func(k *KeyPackage) { k.Extensions = Extensions{bad} }))
		}},
		{CheckComponentData, "in a GroupInfo", func(t *testing.T) error {
			return componentCrowd(t, 2).refusedWelcome(LeafOptions{}, CommitOptions{}, func(f *forgedWelcome) {
				f.info.extensions = f.info.extensions.with(bad)
			}, nil)
		}},
		proposals(CheckComponentsList, "of the GroupContext, cut short", update(ComponentSafeAAD, "\x02\x80")),
		fixed("changed", true, func(Extension) Extensions {
			required := RequiredCapabilities{Proposals: []ProposalType{ProposalAppDataUpdate}}
			return Extensions{required.Extension(), mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("other")}})}
		}),
		fixed("changed, and not required any more", true, func(Extension) Extensions {
			return Extensions{mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("other")}})}
		}),
		fixed("removed", true, func(Extension) Extensions { return nil }),
		fixed("added", false, func(own Extension) Extensions { return Extensions{own} }),
		fixed("added, empty", false, func(Extension) Extensions { return Extensions{mustExtension(AppDataDictionary{})} }),
		{CheckContextDictionary, "with an AppDataUpdate", func(t *testing.T) error {
			required := RequiredCapabilities{Proposals: []ProposalType{ProposalAppDataUpdate}}
			c := componentCrowd(t, 2, required.Extension())
			return c.refusedProposals(&GroupContextExtensions{Extensions{mustExtension(entry)}}, update(notesComponent, "a"))
		}},
		proposals(CheckAppEphemeralComponent, "unknown", &AppEphemeral{Component: 0x8013}),
		alone(CheckAppEphemeralComponent, "unknown, by itself", &AppEphemeral{Component: 0x8013}),
		proposals(CheckAppEphemeralData, "refused", &AppEphemeral{Component: notesComponent, Data: []byte("bad")}),
		alone(CheckAppEphemeralData, "refused, by itself", &AppEphemeral{Component: notesComponent, Data: []byte("bad")}),
		{CheckProposalSupport, "AppDataUpdate not by a member", func(t *testing.T) error {
			c := componentCrowd(t, 1)
			c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Proposals: []ProposalType{}}})}})
			return c.refusedProposals(update(plainComponent, "a"))
		}},
	}
}

// Other extensions may change where the dictionary must not.
func TestContextExtensionsMayChangeBesideTheDictionary(t *testing.T) {
	required := RequiredCapabilities{Proposals: []ProposalType{ProposalAppDataUpdate}}
	own := mustExtension(AppDataDictionary{{ID: notesComponent, Data: []byte("entry")}})
	c := componentCrowd(t, 2, required.Extension(), own)
	senders := ExternalSenders()
	c.commit(1, CommitOptions{Proposals: []Proposal{
		update(notesComponent, "more"), &GroupContextExtensions{Extensions{own, senders, required.Extension()}},
	}})
	c.wantEntry(notesComponent, "entrymore;")
	if _, ok := c.members[0].g.Extensions().Find(ExtensionExternalSenders); !ok {
		t.Error("the other extension is missing")
	}
}
