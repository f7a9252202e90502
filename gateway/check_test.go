package gateway_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// places returns where there is something wrong, as [apps 0].
func places(faults []config.Fault) (all []string) {
	for _, f := range faults {
		all = append(all, fmt.Sprint(f.Path))
	}
	return all
}

// What a start would refuse is found, and certificates are held against hosts and the time.
func TestSettingsAreCheckedAsAStartReadsThem(t *testing.T) {
	folder := t.TempDir()
	f := config.CertFile{Cert: filepath.Join(folder, "a.crt"), Key: filepath.Join(folder, "a.key")}
	cert, key := certificate(t, 1) // for app.example, until 2090
	testkit.WriteFile(t, f.Cert, cert)
	testkit.WriteFile(t, f.Key, key)
	for name, test := range map[string]struct {
		change          func(*config.Config)
		year            int
		wrong, warnings []string
	}{
		"it is for all hosts": {func(*config.Config) {}, 2030, nil, nil},
		"it has ended":        {func(*config.Config) {}, 2091, nil, []string{"[tls files 0]"}},
		"it isn't for one":    {func(c *config.Config) { c.Apps[0].Hosts = []string{host, "b.example"} }, 2030, nil, []string{"[apps 0 hosts 1]"}},
		"it is for any":       {func(c *config.Config) { c.Apps[0].Hosts = []string{"*"} }, 2030, nil, nil},
		"others are obtained": {func(c *config.Config) {
			c.Apps[0].Hosts, c.TLS.ACME.Email = []string{host, "b.example"}, "ops@example.org"
		}, 2030, nil, nil},
		"one can't be": {func(c *config.Config) { c.Apps[0].Hosts, c.TLS.ACME.Email = []string{host, "*"}, "ops@example.org" }, 2030, []string{"[apps 0 hosts 1]"}, nil},
		"a key is missing": {func(c *config.Config) {
			c.TLS.Files = append(c.TLS.Files, config.CertFile{Cert: f.Cert, Key: "/missing.key"})
		}, 2030, []string{"[tls files 1]"}, nil},
		"authorities are missing": {func(c *config.Config) {
			c.Apps[0].Hosts, c.TLS.ACME.Email, c.TLS.ACME.Roots = []string{"b.example"}, "ops@example.org", "/missing.pem"
		}, 2030, []string{"[tls acme]"}, nil},
		"anybody may say where he is": {func(c *config.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
			c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("::/0")}
		}, 2030, []string{"[trusted-proxies]", "[proxy-protocol]"}, nil},
		"a network that is none": {func(c *config.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}
		}, 2030, []string{"[trusted-proxies]"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default()
			c.Data = folder
			c.Apps = []config.App{{Hosts: []string{host}, Upstreams: []string{"http://127.0.0.1:3000"}}}
			c.TLS.Files = []config.CertFile{f}
			test.change(&c)
			wrong, warnings := gateway.CheckSettings(c, time.Date(test.year, 1, 1, 0, 0, 0, 0, time.UTC))
			if !slices.Equal(places(wrong), test.wrong) || !slices.Equal(places(warnings), test.warnings) {
				t.Errorf("wrong is %+v, and it warns of %+v", wrong, warnings)
			}
		})
	}
}

// What a start would do without is no error: a check in front of it must not keep a
// gateway from starting that would serve.
func TestACheckOnlyWarnsOfWhatAStartHasAGoodCopyOf(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	testkit.Eventually(t, "there are copies", func() bool {
		copies, err := filepath.Glob(filepath.Join(g.data, "geo", "*.mmdb"))
		return err == nil && len(copies) > 0
	})
	if wrong, warnings := gateway.CheckSettings(g.config, time.Now()); wrong != nil || warnings != nil {
		t.Errorf("wrong is %+v, and it warns of %+v", wrong, warnings)
	}
	testkit.ReplaceFile(t, g.policy, "version: 2\n")
	geotest.Replace(t, g.geo, []byte("garbage"))
	want := []string{"[geo]", "[policy file]"}
	if wrong, warnings := gateway.CheckSettings(g.config, time.Now()); wrong != nil || !slices.Equal(places(warnings), want) {
		t.Errorf("wrong is %+v, and it warns of %+v", wrong, warnings)
	}
	fresh := g.config
	fresh.Data = t.TempDir()
	if wrong, warnings := gateway.CheckSettings(fresh, time.Now()); !slices.Equal(places(wrong), want) || warnings != nil {
		t.Errorf("in a new folder, wrong is %+v, and it warns of %+v", wrong, warnings)
	}
}
