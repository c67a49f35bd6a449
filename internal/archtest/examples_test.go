package archtest

import (
	"slices"
	"strings"
	"testing"
)

// proxyLayers are the parts of the proxy that stand on each other, lowest
// first. Each is usable without those above it, and without the proxy.
var proxyLayers = []string{"sipmsg", "transport", "transaction", "relay", "route", "guard"}

// The proxy uses sipgo for messages. Its server, client and transactions are
// not for the layers, which do that themselves.
const (
	sipgoPath    = "github.com/emiago/sipgo"
	sipgoMessage = sipgoPath + "/sip"
)

func TestExamples_DoWithoutInternal(t *testing.T) {
	for _, p := range modulePackages(t) {
		if top(p.rel()) != "examples" {
			continue
		}
		for _, imp := range p.Imports {
			if top(relative(imp)) == "internal" {
				t.Errorf("%s imports %s, so that users cannot copy it", p.rel(), imp)
			}
		}
	}
}

func TestExamples_MinimalIsSmall(t *testing.T) {
	p := allPackages(t)[modulePath+"/examples/minimal"]
	if p == nil {
		return
	}
	for _, dep := range p.Deps {
		// The types of database/sql/driver come with uuid, which sipgo needs.
		if isDatabase(dep) && dep != "database/sql/driver" || isForPrograms(dep) {
			t.Errorf("examples/minimal depends on %s", dep)
		}
	}
}

func TestExamples_ProxyLayers(t *testing.T) {
	for _, p := range modulePackages(t) {
		for _, fault := range layerFaults(p) {
			t.Errorf("%s imports %s", p.rel(), fault)
		}
	}
}

// layer returns the index in proxyLayers of a package; -1 if it is in none.
func layer(rel string) int {
	inProxy, ok := strings.CutPrefix(rel, "examples/proxy/")
	if !ok {
		return -1
	}
	return slices.Index(proxyLayers, top(inProxy))
}

// layerFaults returns the imports that p must not have, if it is in a layer.
func layerFaults(p *goPackage) (faults []string) {
	own := layer(p.rel())
	if own < 0 {
		return nil
	}
	for _, imp := range p.Imports {
		rel := relative(imp)
		below := layer(rel) >= 0 && layer(rel) <= own
		if rel != "" && !isLibrary(rel) && !below {
			faults = append(faults, rel)
		}
		if (imp == sipgoPath || strings.HasPrefix(imp, sipgoPath+"/")) && imp != sipgoMessage {
			faults = append(faults, imp)
		}
	}
	return faults
}

func TestLayerFaults(t *testing.T) {
	tests := []struct {
		rel, imp string
		want     int
	}{
		{"examples/proxy/sipmsg", modulePath + "/location", 0},
		{"examples/proxy/sipmsg", sipgoMessage, 0},
		{"examples/proxy/sipmsg", sipgoPath, 1},
		{"examples/proxy/sipmsg", modulePath + "/examples/proxy/transport", 1},
		{"examples/proxy/transport", modulePath + "/examples/proxy/sipmsg", 0},
		{"examples/proxy/transport", modulePath + "/examples/proxy/transport/ws", 0},
		{"examples/proxy/transaction", modulePath + "/examples/proxy/transport", 0},
		{"examples/proxy/transaction", modulePath + "/examples/proxy/relay", 1},
		{"examples/proxy/relay", modulePath + "/natfix", 0},
		{"examples/proxy/relay", modulePath + "/examples/proxy", 1},
		{"examples/proxy/relay", modulePath + "/examples/proxy/internal/config", 1},
		{"examples/proxy/relay", modulePath + "/internal/sipaddr", 1},
		{"examples/proxy/route", modulePath + "/tenant", 0},
		{"examples/proxy/route", modulePath + "/examples/proxy/guard", 1},
		{"examples/proxy/guard", modulePath + "/examples/proxy/internal/metrics", 1},
		{"examples/proxy", modulePath + "/examples/proxy/relay", 0},
	}
	for _, tt := range tests {
		p := &goPackage{ImportPath: modulePath + "/" + tt.rel, Imports: []string{tt.imp}}
		if got := layerFaults(p); len(got) != tt.want {
			t.Errorf("%s importing %s: %q, want %d faults", tt.rel, tt.imp, got, tt.want)
		}
	}
}
