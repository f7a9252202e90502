package certs_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/internal/testkit"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func optionsAt(at time.Time) certs.Options {
	return certs.Options{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return at }, OnFailure: func() {}}
}

// shown returns the certificate that clients get.
func shown(t *testing.T, f *certs.Files) *tls.Certificate {
	t.Helper()
	cert, err := certs.Certificates{Files: f}.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func selfSigned(t *testing.T, folder string, at time.Time, hosts ...string) *tls.Certificate {
	t.Helper()
	f, err := certs.SelfSigned(folder, hosts, optionsAt(at))
	if err != nil {
		t.Fatal(err)
	}
	return shown(t, f)
}

// newPair makes a certificate for a host.
func newPair(t *testing.T, host string) certs.Pair {
	t.Helper()
	folder := t.TempDir()
	selfSigned(t, folder, now, host)
	return pairIn(folder)
}

func pairIn(folder string) certs.Pair {
	return certs.Pair{Cert: filepath.Join(folder, "self-signed.crt"), Key: filepath.Join(folder, "self-signed.key")}
}

func TestSelfSigned_isKeptWhileItIsValid(t *testing.T) {
	folder := t.TempDir()
	first := selfSigned(t, folder, now, "app.example", "*.app.example", "192.0.2.1")
	for _, host := range []string{"app.example", "www.app.example", "192.0.2.1", "localhost", "127.0.0.1", "::1"} {
		if err := first.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if !first.Leaf.NotBefore.Before(now) || first.Leaf.NotAfter.Sub(now) > 398*24*time.Hour {
		t.Errorf("valid from %s to %s", first.Leaf.NotBefore, first.Leaf.NotAfter)
	}
	if info, err := os.Stat(pairIn(folder).Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %v", info.Mode())
	}
	same := func(c *tls.Certificate) bool { return c.Leaf.Equal(first.Leaf) }
	if !same(selfSigned(t, folder, now.AddDate(0, 6, 0), "*.app.example", "192.0.2.1")) {
		t.Error("a valid one was replaced")
	}
	for name, replaced := range map[string]func() *tls.Certificate{
		"another host":  func() *tls.Certificate { return selfSigned(t, folder, now, "other.example") },
		"expires soon":  func() *tls.Certificate { return selfSigned(t, folder, now.AddDate(0, 12, 10)) },
		"not valid yet": func() *tls.Certificate { return selfSigned(t, folder, now.AddDate(-1, 0, 0)) },
		"key missing":   func() *tls.Certificate { os.Remove(pairIn(folder).Key); return selfSigned(t, folder, now) },
		"file is incomplete": func() *tls.Certificate {
			testkit.WriteFile(t, pairIn(folder).Cert, "-----BEGIN CERT")
			return selfSigned(t, folder, now)
		},
	} {
		first = selfSigned(t, folder, now, "app.example")
		if same(replaced()) {
			t.Errorf("%s: not replaced", name)
		}
	}
}

func TestGetCertificate_byNameElseTheFirst(t *testing.T) {
	f, err := certs.Load([]certs.Pair{newPair(t, "a.example"), newPair(t, "b.example")}, optionsAt(now))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.example": "a.example", "b.example": "b.example", "c.example": "a.example", "": "a.example"} {
		cert, err := certs.Certificates{Files: f}.GetCertificate(&tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		})
		if err != nil || cert.Leaf.VerifyHostname(want) != nil {
			t.Errorf("for %q: %v, %v", name, cert.Leaf.DNSNames, err)
		}
	}
	if ends := f.Expiry(); len(ends) != 5 || ends["b.example"].IsZero() || ends["localhost"].IsZero() {
		t.Errorf("expiry is %v", ends)
	}
}

func TestWatch_reloadsOnlyWhatIsRight(t *testing.T) {
	pair := newPair(t, "a.example")
	var failures atomic.Int32
	var log testkit.Buffer
	o := optionsAt(now)
	o.OnFailure, o.Logger = func() { failures.Add(1) }, slog.New(slog.NewTextHandler(&log, nil))
	f, err := certs.Load([]certs.Pair{pair}, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { f.Watch(ctx) })

	key, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := os.ReadFile(newPair(t, "c.example").Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func()
		names string
	}{
		{"missing key", func() { os.Remove(pair.Key) }, pair.Key},
		{"another's key", func() { testkit.WriteFile(t, pair.Key, string(otherKey)) }, pair.Key},
		{"no certificate", func() { testkit.WriteFile(t, pair.Cert, strings.Repeat("x", 2<<20)) }, pair.Cert},
	} {
		before := failures.Load()
		c.spoil()
		testkit.Eventually(t, c.name+" is reported", func() bool {
			failure := f.Failure()
			return failures.Load() > before && failure.Since.Equal(now) && strings.Contains(failure.Err.Error(), c.names)
		})
		if shown(t, f).Leaf.VerifyHostname("a.example") != nil {
			t.Errorf("%s: the certificate isn't in use any more", c.name)
		}
	}
	if len(log.Lines("level=ERROR", "not reloaded")) < 3 {
		t.Errorf("the log is\n%s", &log)
	}

	testkit.WriteFile(t, pair.Key, string(key))
	selfSigned(t, filepath.Dir(pair.Cert), now, "b.example")
	testkit.Eventually(t, "the new certificate is shown", func() bool { return shown(t, f).Leaf.VerifyHostname("b.example") == nil })
	testkit.Eventually(t, "no failure remains", func() bool { return f.Failure() == nil })
}

func TestTLSOfClientsAndServers(t *testing.T) {
	pair := newPair(t, "a.example")
	for name, load := range map[string]func(certs.Pair, string) (*tls.Config, error){
		"server": certs.ServerTLS,
		"client": func(own certs.Pair, authorities string) (*tls.Config, error) {
			return certs.ClientTLS(authorities, own)
		},
	} {
		if c, err := load(pair, pair.Cert); err != nil || len(c.Certificates) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := load(pair, pair.Key); err == nil || !strings.Contains(err.Error(), pair.Key) {
			t.Errorf("%s: authorities without a certificate: %v", name, err)
		}
		if _, err := load(certs.Pair{Cert: pair.Cert, Key: pair.Cert}, pair.Cert); err == nil {
			t.Errorf("%s: a pair without a key is taken", name)
		}
	}
	if c, err := certs.ClientTLS("", certs.Pair{}); err != nil || c.RootCAs != nil || len(c.Certificates) != 0 {
		t.Errorf("without files: %v, %v", c, err)
	}
}
