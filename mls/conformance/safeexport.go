package conformance

import (
	"fmt"

	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// safeExport has the secrets that components get of an epoch
// (draft-ietf-mls-extensions, Exporter Tree). The format is our own.
type safeExport struct {
	suited
	EpochSecret             hexBytes          `json:"epoch_secret"`
	ApplicationExportSecret hexBytes          `json:"application_export_secret"`
	Exports                 []componentSecret `json:"exports"`
}

type componentSecret struct {
	Component uint16   `json:"component_id"`
	Secret    hexBytes `json:"secret"`
}

func (v *safeExport) check(c *checker) {
	epoch := keysched.FirstEpoch(c.suite, v.EpochSecret)
	c.equal("application_export_secret", epoch.ApplicationExportSecret, v.ApplicationExportSecret)
	c.that(len(v.Exports) > 0, "there are no exports")
	tree := secrettree.NewExporterTree(c.suite, epoch.ApplicationExportSecret)
	for i, e := range v.Exports {
		secret, err := tree.Export(e.Component)
		if c.ok(fmt.Sprintf("exports[%d]", i), err) {
			c.equal(fmt.Sprintf("exports[%d].secret", i), secret, e.Secret)
		}
		_, err = tree.Export(e.Component)
		c.that(err != nil, "exports[%d].secret was exported twice", i)
	}
}

func generateSafeExport(g *generator) (vector, error) {
	v := &safeExport{EpochSecret: g.secret()}
	v.CipherSuite = g.suite.ID()
	v.ApplicationExportSecret = keysched.FirstEpoch(g.suite, v.EpochSecret).ApplicationExportSecret
	tree := secrettree.NewExporterTree(g.suite, v.ApplicationExportSecret)
	for _, component := range []uint16{0x8000, 1, 0, 0xffff, 0x8001, uint16(2 + g.number(0x7fff))} {
		secret, err := tree.Export(component)
		if err != nil {
			return nil, err
		}
		v.Exports = append(v.Exports, componentSecret{component, secret})
	}
	return v, nil
}
