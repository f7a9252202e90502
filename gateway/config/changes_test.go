package config_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
)

func TestChangesAreNamedByTheirPlaceInTheFile(t *testing.T) {
	for name, test := range map[string]struct {
		change       func(*config.Config)
		all, restart []string
	}{
		"nothing":           {func(*config.Config) {}, nil, nil},
		"an empty list":     {func(c *config.Config) { c.ProxyProtocol, c.Apps = []netip.Prefix{}, []config.App{} }, nil, nil},
		"what reloads":      {func(c *config.Config) { c.Limits.Body, c.ClientHeader = 1, "Forwarded" }, []string{"client-header", "limits.body"}, nil},
		"in what reloads":   {func(c *config.Config) { c.TLS.HSTS.MaxAge = time.Hour }, []string{"tls.hsts.max-age"}, nil},
		"an app":            {func(c *config.Config) { c.Apps = []config.App{{Hosts: []string{"a.example"}}} }, []string{"apps"}, nil},
		"what restarts":     {func(c *config.Config) { c.Listen.HTTP.Serve = true }, []string{"listen.http.serve"}, []string{"listen.http.serve"}},
		"some of both":      {func(c *config.Config) { c.Caches.KeyHeader, c.Drain = "X", 1 }, []string{"caches.key-header", "drain"}, []string{"drain"}},
		"in what has parts": {func(c *config.Config) { c.Policy.Ledger.NATS = []string{"nats://a"} }, []string{"policy.ledger.nats"}, []string{"policy.ledger.nats"}},
	} {
		c := config.Default()
		test.change(&c)
		all, restart := config.Changes(config.Default(), c)
		if !slices.Equal(all, test.all) || !slices.Equal(restart, test.restart) {
			t.Errorf("%s: changed are %v, and %v restart", name, all, restart)
		}
	}
}
