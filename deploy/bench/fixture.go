package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// A fixture is the temporary folder with what the servers share: certificate,
// countries, and the origin's address.
type fixture struct {
	dir string

	Cert, Key, Pair string // PEM files; Pair is both in one
	Database        string // GeoIP2-Country
	Map             string // the same as an HAProxy map
	Origin          string // host:port
}

func newFixture() (f *fixture, err error) {
	dir, err := os.MkdirTemp("", "exitgate-bench-")
	if err != nil {
		return nil, err
	}
	f = &fixture{dir: dir}
	defer func() {
		if err != nil {
			f.remove()
		}
	}()
	if err := f.writeCertificate(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err := f.writeCountries(); err != nil {
		return nil, fmt.Errorf("countries: %w", err)
	}
	return f, nil
}

func (f *fixture) remove() { os.RemoveAll(f.dir) }

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

// folder makes a folder for one server's files.
func (f *fixture) folder(name string) (string, error) {
	dir := f.path(name)
	return dir, os.Mkdir(dir, 0o755)
}

// render writes a configuration from its template and returns its path.
func render(dir, name, text string, data any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// writeCertificate makes the one ECDSA P-256 certificate for all servers.
func (f *fixture) writeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "exitgate bench"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	f.Cert, f.Key, f.Pair = f.path("cert.pem"), f.path("key.pem"), f.path("pair.pem")
	for path, content := range map[string][]byte{
		f.Cert: certPEM, f.Key: keyPEM, f.Pair: append(certPEM, keyPEM...),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freePort returns a loopback port that nothing listens on at the moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
