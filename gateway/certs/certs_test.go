package certs_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/certs"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// shown returns the certificate that clients get.
func shown(t *testing.T, f *certs.Files) *tls.Certificate {
	t.Helper()
	cert, err := f.Get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func selfSigned(t *testing.T, folder string, at time.Time, hosts ...string) *tls.Certificate {
	t.Helper()
	f, err := certs.SelfSigned(folder, hosts, at)
	if err != nil {
		t.Fatal(err)
	}
	return shown(t, f)
}

func TestASelfSignedCertificateIsKeptAslongAsItServes(t *testing.T) {
	folder := t.TempDir()
	first := selfSigned(t, folder, now, "app.example", "*.app.example", "192.0.2.1")
	for _, host := range []string{"app.example", "www.app.example", "192.0.2.1", "localhost", "127.0.0.1", "::1"} {
		if err := first.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if !first.Leaf.NotBefore.Before(now) || first.Leaf.NotAfter.Sub(now) > 398*24*time.Hour {
		t.Errorf("it holds from %s to %s", first.Leaf.NotBefore, first.Leaf.NotAfter)
	}
	if info, err := os.Stat(filepath.Join(folder, "self-signed.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %v", info.Mode())
	}
	same := func(c *tls.Certificate) bool { return c.Leaf.Equal(first.Leaf) }
	if !same(selfSigned(t, folder, now.AddDate(0, 6, 0), "*.app.example", "192.0.2.1")) {
		t.Error("it is made anew without need")
	}
	for name, spoil := range map[string]func() *tls.Certificate{
		"for another host":       func() *tls.Certificate { return selfSigned(t, folder, now, "other.example") },
		"when it ends soon":      func() *tls.Certificate { return selfSigned(t, folder, now.AddDate(0, 12, 10)) },
		"with a clock before it": func() *tls.Certificate { return selfSigned(t, folder, now.AddDate(-1, 0, 0)) },
		"without its key": func() *tls.Certificate {
			os.Remove(filepath.Join(folder, "self-signed.key"))
			return selfSigned(t, folder, now)
		},
		"when it is cut short": func() *tls.Certificate {
			os.WriteFile(filepath.Join(folder, "self-signed.crt"), []byte("-----BEGIN CERT"), 0o644)
			return selfSigned(t, folder, now)
		},
	} {
		first = selfSigned(t, folder, now, "app.example")
		if same(spoil()) {
			t.Errorf("it isn't made anew %s", name)
		}
	}
}

func TestTheCertificateForTheNameIsShownElseTheFirst(t *testing.T) {
	var pairs []certs.Pair
	for _, host := range []string{"a.example", "b.example"} {
		folder := t.TempDir()
		selfSigned(t, folder, now, host)
		pairs = append(pairs, certs.Pair{Cert: filepath.Join(folder, "self-signed.crt"), Key: filepath.Join(folder, "self-signed.key")})
	}
	f, err := certs.Load(pairs)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.example": "a.example", "b.example": "b.example", "c.example": "a.example", "": "a.example"} {
		cert, err := f.Get(&tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		})
		if err != nil || cert.Leaf.VerifyHostname(want) != nil {
			t.Errorf("for %q it shows %v, %v", name, cert.Leaf.DNSNames, err)
		}
	}
	if changed, err := f.Reload(); changed || err != nil {
		t.Errorf("the same files are said to have changed: %v, %v", changed, err)
	}
	selfSigned(t, filepath.Dir(pairs[0].Cert), now, "d.example")
	if changed, err := f.Reload(); !changed || err != nil {
		t.Errorf("others are said not to have: %v, %v", changed, err)
	}
	if ends := f.Expiry(); len(ends) != 5 || ends["d.example"].IsZero() || ends["localhost"].IsZero() {
		t.Errorf("they end %v", ends)
	}
}
