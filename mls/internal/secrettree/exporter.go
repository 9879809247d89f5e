package secrettree

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// exporterLeaves is one leaf for each component ID.
const exporterLeaves = 1 << 16

// An ExporterTree gives each component of the application one secret per epoch,
// once: an exported secret cannot be derived again (draft-ietf-mls-extensions,
// Exporter Tree). It is built and erased like the secret tree, and is not safe
// for concurrent use.
type ExporterTree struct {
	kdf      kdf
	frontier frontier
}

// NewExporterTree returns the exporter tree of an epoch with the given
// application_export_secret. The secret is copied; the caller erases its own.
func NewExporterTree(s *ciphersuite.Suite, applicationExportSecret []byte) *ExporterTree {
	t := emptyExporterTree(s)
	t.frontier.plant(applicationExportSecret)
	return t
}

func emptyExporterTree(kdf kdf) *ExporterTree {
	return &ExporterTree{kdf, frontier{size: exporterLeaves}}
}

// Export takes a component's secret, of KDF.Nh octets, out of the tree. The
// error matches [ErrConsumed] if that was done before, or after
// [ExporterTree.Erase]. The caller erases the result.
func (t *ExporterTree) Export(component uint16) ([]byte, error) {
	secret := t.frontier.take(t.kdf, treemath.LeafIndex(component).Node())
	if secret == nil {
		return nil, fmt.Errorf("%w: secret of component %d", ErrConsumed, component)
	}
	return secret, nil
}

// Clone returns a copy that shares no memory with t.
func (t *ExporterTree) Clone() *ExporterTree {
	return &ExporterTree{t.kdf, t.frontier.clone()}
}

// Erase erases all secrets.
func (t *ExporterTree) Erase() { t.frontier.erase() }

// MarshalTo writes everything that was not exported yet, which is secret.
//
//	struct {
//	    uint8 version = 1;
//	    uint32 node_count;
//	    struct {
//	        uint32 node_index;            /* ascending */
//	        opaque secret[KDF.Nh];
//	    } nodes[node_count];
//	} ExporterState;
func (t *ExporterTree) MarshalTo(w *wire.Writer) {
	w.Uint8(exporterStateVersion)
	t.frontier.marshalTo(w)
}

// UnmarshalExporterTree reads a state that [ExporterTree.MarshalTo] wrote for
// the same suite; it need not be all that r has. A state in which a secret could
// be derived in two ways, and any other that is malformed, is an error that
// matches [ErrState] or one of package wire.
func UnmarshalExporterTree(s *ciphersuite.Suite, r *wire.Reader) (*ExporterTree, error) {
	readVersion(r, exporterStateVersion)
	t := emptyExporterTree(s)
	t.frontier.unmarshal(t.kdf, r)
	if _, ok := coverage(exporterLeaves, t.frontier.secrets.keys()); !ok {
		r.Fail(fmt.Errorf("%w: nodes overlap or are outside the tree", ErrState))
	}
	if err := r.Err(); err != nil {
		t.Erase()
		return nil, err
	}
	return t, nil
}
