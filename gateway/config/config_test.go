package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestEachRuleOfTheSettingsSaysWhatIsWrongAndWhatWouldBeRight(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = config.Parse("exitgate.yaml", source)
			if err == nil {
				testkit.Golden(t, "testdata/bad/"+name+".golden", "nothing is wrong\n")
				return
			}
			var all strictyaml.Errors
			if !errors.As(err, &all) {
				t.Errorf("the error is a %T", err)
			}
			testkit.Golden(t, "testdata/bad/"+name+".golden", err.Error()+"\n")
		})
	}
}

func TestSettingsBeyondEightMegabytesAreNotRead(t *testing.T) {
	_, err := config.Parse("exitgate.yaml", []byte(strings.Repeat("#", strictyaml.Limit+1)))
	want := "exitgate.yaml: the file has 8388609 bytes: the limit is 8388608 (8 MiB)\n      remove what is not needed"
	if err == nil || err.Error() != want {
		t.Errorf("it says %v", err)
	}
}

func TestSettingsThatAreNotGivenHaveTheirDefaults(t *testing.T) {
	got, err := config.Parse("exitgate.yaml", []byte("data: /var/lib/exitgate\nlimits: {header: 8192}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen:       config.Listen{HTTPS: ":8443", HTTP: config.Plain{Address: ":8080"}, Engine: config.Standard},
		ClientHeader: "X-Forwarded-For",
		TLS:          config.TLS{ACME: config.ACME{DNS: config.DNSHook{Timeout: 5 * time.Minute}}},
		Caches:       config.Caches{Purge: config.Purge{Timeout: 30 * time.Second}},
		Geo:          config.Geo{MaxAge: 60 * 24 * time.Hour, Hold: config.GeoHold{Coverage: 10, Jurisdiction: 33}},
		Policy:       config.PolicySource{Ledger: config.Ledger{Replicas: 3, Name: "exitgate"}},
		Admin:        config.Admin{Listen: "127.0.0.1:8600"},
		Drain:        30 * time.Second,
		Data:         "/var/lib/exitgate",
		Limits: config.Limits{
			Header: 8192, Bodies: 4096, BodyRate: 256, Connections: 32768, HeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, StallTimeout: time.Minute,
			ConnectTimeout: 5 * time.Second, UpstreamTimeout: time.Minute,
		},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestEverySettingCanBeGiven(t *testing.T) {
	got, err := config.Parse("exitgate.yaml", []byte(`
listen: {https: "127.0.0.1:443", http: "", engine: fast}
apps:
  - hosts: [example.org, "*.example.org", 192.0.2.1]
    upstreams: ["https://10.0.0.1", "h2c://10.0.0.2:3000"]
    secret-file: /etc/exitgate/app-secret
    ca: /etc/ssl/app.pem
    server-name: app.internal
    cert: /etc/exitgate/app.crt
    key: /etc/exitgate/app.key
    forwarded: true
  - hosts: ["*"]
    upstreams: ["unix:/run/app.sock"]
tls:
  files: [{cert: a.crt, key: a.key}]
  hsts: {max-age: 8760h, include-subdomains: true, preload: true}
  acme:
    email: ops@example.org
    directory: https://acme.example/dir
    roots: acme.pem
    eab: {key-id: kid-1, key-file: eab.key}
    fallbacks: [{directory: "https://other.example/dir", roots: other.pem, eab: {key-id: kid-2, key-file: other.key}}]
    dns: {command: [/usr/local/bin/dns, zone], timeout: 1m}
trusted-proxies: [10.0.0.0/8, "fd00::/8"]
client-header: CF-Connecting-IP
proxy-protocol: [10.0.0.1/32]
caches: {key-header: X-Country, purge: {command: [/usr/local/bin/purge, all], url: "https://cdn.example.org/purge", token-file: token, ca: cdn.pem, timeout: 5s}}
geo: {databases: [city.mmdb, asn.mmdb], registered-country: true, allow-older: true}
policy:
  ledger:
    nats: ["tls://10.0.0.1:4222", "tls://10.0.0.2:4222"]
    credentials: /etc/exitgate/nats.creds
    tls: {ca: ca.pem, cert: nats.crt, key: nats.key}
    domain: hub
    replicas: 5
    mirror: leaf
    name: messenger
admin:
  listen: 10.0.0.9:8600
  tls: {cert: admin.crt, key: admin.key, client-ca: operators.pem}
  hosts: [config.example.org]
  probes: ":8601"
access-log: {file: /var/log/exitgate/access.log}
limits:
  {header: 16384, body: 1048576, bodies: 100, body-rate: 1000, connections: 5000, header-timeout: 5s, idle-timeout: 1m, stall-timeout: 10s, connect-timeout: 1s, upstream-timeout: 2m30s}
drain: 0s
drain-delay: 5s
data: /var/lib/exitgate
`))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen: config.Listen{HTTPS: "127.0.0.1:443", Engine: config.Fast},
		Apps: []config.App{
			{Hosts: []string{"example.org", "*.example.org", "192.0.2.1"}, Upstreams: []string{"https://10.0.0.1", "h2c://10.0.0.2:3000"}, SecretFile: "/etc/exitgate/app-secret", CA: "/etc/ssl/app.pem", ServerName: "app.internal",
				Cert: "/etc/exitgate/app.crt", Key: "/etc/exitgate/app.key", Forwarded: true},
			{Hosts: []string{"*"}, Upstreams: []string{"unix:/run/app.sock"}},
		},
		TLS: config.TLS{
			Files: []config.CertFile{{Cert: "a.crt", Key: "a.key"}},
			HSTS:  config.HSTS{MaxAge: 365 * 24 * time.Hour, IncludeSubdomains: true, Preload: true},
			ACME: config.ACME{
				Email: "ops@example.org", Directory: "https://acme.example/dir", Roots: "acme.pem", EAB: config.EAB{KeyID: "kid-1", KeyFile: "eab.key"},
				Fallbacks: []config.ACMEIssuer{{Directory: "https://other.example/dir", Roots: "other.pem", EAB: config.EAB{KeyID: "kid-2", KeyFile: "other.key"}}},
				DNS:       config.DNSHook{Command: []string{"/usr/local/bin/dns", "zone"}, Timeout: time.Minute},
			},
		},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		ClientHeader:   "CF-Connecting-IP",
		ProxyProtocol:  []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")},
		Caches: config.Caches{KeyHeader: "X-Country", Purge: config.Purge{
			Command: []string{"/usr/local/bin/purge", "all"}, URL: "https://cdn.example.org/purge", TokenFile: "token", CA: "cdn.pem", Timeout: 5 * time.Second,
		}},
		Geo: config.Geo{Databases: []string{"city.mmdb", "asn.mmdb"}, RegisteredCountry: true, AllowOlder: true, MaxAge: 60 * 24 * time.Hour, Hold: config.GeoHold{Coverage: 10, Jurisdiction: 33}},
		Policy: config.PolicySource{Ledger: config.Ledger{
			NATS:        []string{"tls://10.0.0.1:4222", "tls://10.0.0.2:4222"},
			Credentials: "/etc/exitgate/nats.creds",
			TLS:         config.ClientCert{CA: "ca.pem", Cert: "nats.crt", Key: "nats.key"},
			Domain:      "hub", Replicas: 5, Mirror: "leaf", Name: "messenger",
		}},
		Admin:     config.Admin{Listen: "10.0.0.9:8600", TLS: config.AdminTLS{Cert: "admin.crt", Key: "admin.key", ClientCA: "operators.pem"}, Hosts: []string{"config.example.org"}, Probes: ":8601"},
		AccessLog: config.AccessLog{File: "/var/log/exitgate/access.log"},
		Limits: config.Limits{
			Header: 16384, Body: 1048576, Bodies: 100, BodyRate: 1000, Connections: 5000, HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, StallTimeout: 10 * time.Second,
			ConnectTimeout: time.Second, UpstreamTimeout: 150 * time.Second,
		},
		DrainDelay: 5 * time.Second,
		Data:       "/var/lib/exitgate",
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestTheSchemaOfTheSettings(t *testing.T) {
	testkit.Golden(t, "testdata/exitgate.schema.json", string(config.Schema()))
}
