package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
)

// An authority signs client certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a := authority{template, nil}
	signed := a.sign(t, template)
	a.key = signed.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	if a.certificate, err = x509.ParseCertificate(signed.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns a certificate with a key of its own; the authority's own if it
// has none yet.
func (a authority) sign(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// of returns a certificate of a principal.
func (a authority) of(t *testing.T, name string) tls.Certificate {
	return a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/" + name}},
	})
}

// serveOverTLS serves over HTTP/2 to who has a certificate, or has none.
func serveOverTLS(t *testing.T, g *fixture, a authority) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(g)
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	server.TLS = &tls.Config{ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// clientWith returns a client that shows a certificate.
func clientWith(server *httptest.Server, certificates ...tls.Certificate) *http.Client {
	transport := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = certificates
	return server.Client()
}

func TestCertificatesOverHTTP2(t *testing.T) {
	known := newAuthority(t)
	for name, test := range map[string]struct {
		certificates []tls.Certificate
		token        actor
		status       int // 0: no connection
	}{
		"of a viewer":           {[]tls.Certificate{known.of(t, "viewer")}, nobody, 200},
		"of nobody":             {[]tls.Certificate{known.of(t, "eve")}, nobody, 401},
		"none":                  {nil, nobody, 401},
		"none, but a token":     {nil, viewer, 200},
		"by somebody else":      {[]tls.Certificate{newAuthority(t).of(t, "viewer")}, nobody, 0},
		"of nobody and a token": {[]tls.Certificate{known.of(t, "eve")}, viewer, 200},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixture(t)
			server := serveOverTLS(t, g, known)
			client := clientWith(server, test.certificates...)
			if test.status == 0 {
				// Which is not in the list of authorities, and would not be sent.
				client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &test.certificates[0], nil
				}
			}
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/status", nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.token != nobody {
				r.Header.Set("Authorization", "Bearer "+g.tokens[test.token])
			}
			answer, err := client.Do(r)
			switch {
			case test.status == 0 && err == nil:
				t.Errorf("got %s", answer.Status)
			case test.status == 0:
				return
			case err != nil:
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != test.status || answer.ProtoMajor != 2 {
				t.Errorf("got %s over %s", answer.Status, answer.Proto)
			}
		})
	}
}

func TestEventsOverHTTP2(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{Heartbeat: 5 * time.Millisecond})
	server := serveOverTLS(t, g, newAuthority(t))
	f := follow(t, g, server, g.tokens[viewer])
	g.happening.Publish(api.Event{Type: "breach", Message: "x"})
	if got := f.event(t); f.ProtoMajor != 2 || !strings.HasPrefix(got, "event: breach\n") {
		t.Errorf("got %s over %s", got, f.Proto)
	}
	g.happening.Close()
	f.ends(t)
}

func TestSlowClientsOverHTTP2(t *testing.T) {
	g := newFixtureWithin(t, admin.Limits{BodyTime: 20 * time.Millisecond})
	server := serveOverTLS(t, g, newAuthority(t))
	body, rest := io.Pipe()
	defer rest.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/plan", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+g.tokens[viewer])
	r.Header.Set("Content-Type", "application/json")
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := checkAnswer(t, "POST", "/v1/plan", answer.StatusCode, answer.Header, string(text)); got.code != "too-slow" || answer.ProtoMajor != 2 {
		t.Errorf("got %d %s over %s", got.status, got.code, answer.Proto)
	}
}
