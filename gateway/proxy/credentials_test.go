package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/exitgate/exitgate/gateway/proxy"
	"github.com/exitgate/exitgate/internal/testkit"
)

const secret = "0123456789abcdef0123456789abcdef"

// issue 10, F: whatever kind of request and upstream it is, the app gets the
// secret, once, and from the gateway.
func TestEachRequestToAnAppHasItsSecret(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			var seen atomic.Pointer[http.Header]
			o := serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h := r.Header.Clone()
				seen.Store(&h)
				if r.Header.Get("Upgrade") != "" {
					if c, err := websocket.Accept(w, r, nil); err == nil {
						c.CloseNow()
					}
					return
				}
				if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
					w.Header().Set("Content-Type", "application/grpc")
					w.Header().Set(http.TrailerPrefix+"Grpc-Status", "5")
					return
				}
				io.Copy(io.Discard, r.Body)
			}))
			var c proxy.Credentials
			if o.Credentials.Load != nil {
				c, _ = o.Credentials.Load()
			}
			c.Secret = secret
			o.Credentials = fixed(c)
			g := newGateway(t, o)
			check := func(what string) {
				t.Helper()
				h := seen.Swap(nil)
				if h == nil {
					t.Errorf("%s doesn't reach the app", what)
					return
				}
				var secrets []string
				for name, values := range *h {
					if strings.EqualFold(strings.Map(func(c rune) rune {
						if c == '_' || c == '.' {
							return '-'
						}
						return c
					}, name), proxy.SecretField) {
						secrets = append(secrets, values...)
					}
				}
				if len(secrets) != 1 || secrets[0] != secret {
					t.Errorf("%s has the secrets %q", what, secrets)
				}
			}
			each(t, func(t *testing.T, major int) {
				for what, r := range map[string]*http.Request{
					"a request without a body": request(t, "GET", g.URL, nil),
					"one with a body":          request(t, "POST", g.URL, strings.NewReader("hello")),
				} {
					r.Header["Market-Gateway-Secret"] = []string{"guessed"}
					r.Header["market_gateway_secret"] = []string{"guessed"}
					r.Header["MARKET.Gateway-Secret"] = []string{"guessed"}
					r.Header.Set("Connection", proxy.SecretField)
					if major == 2 {
						r.Header.Del("Connection")
					}
					if res := send(t, g.client(major), r); res.StatusCode != 200 {
						t.Errorf("%s gets %s", what, res.Status)
					}
					check(what)
				}
			})
			if ws, _, err := websocket.Dial(t.Context(), g.URL, &websocket.DialOptions{HTTPClient: g.client(1), HTTPHeader: http.Header{proxy.SecretField: {"guessed"}}}); err == nil {
				ws.CloseNow()
			}
			check("a WebSocket")
			if kind == "https with HTTP/1.1 only" {
				return
			}
			call, err := grpc.NewClient(g.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(g.tlsConfig())))
			if err != nil {
				t.Fatal(err)
			}
			defer call.Close()
			if _, err := healthpb.NewHealthClient(call).Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.NotFound {
				t.Errorf("a call: %v", err)
			}
			check("a call")
		})
	}
}

// issue 10, F: an app that sends its request's fields back doesn't give the secret away.
func TestAnAppsSecretIsInNoAnswersHeader(t *testing.T) {
	for _, kind := range []string{"http", "h2c"} {
		o := serve(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			value := r.Header.Get(proxy.SecretField)
			w.Header().Set(proxy.SecretField, value)
			if r.Header.Get("Upgrade") != "" {
				if c, err := websocket.Accept(w, r, nil); err == nil {
					c.CloseNow()
				}
				return
			}
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Trailer", "X-Last, "+proxy.SecretField)
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			w.Header().Set("X-Last", "1")
			w.Header().Set(http.TrailerPrefix+proxy.SecretField, value)
		}))
		o.Credentials = fixed(proxy.Credentials{Secret: secret})
		g := newGateway(t, o)
		each(t, func(t *testing.T, major int) {
			for _, r := range []*http.Request{request(t, "GET", g.URL, nil), request(t, "POST", g.URL, strings.NewReader("x"))} {
				res := send(t, g.client(major), r)
				text := body(t, res)
				if all := fmt.Sprint(res.Header, res.Trailer, text); strings.Contains(all, secret) || text != "hello" || res.Trailer.Get("X-Last") != "1" {
					t.Errorf("%s by %s gets %s", r.Method, kind, all)
				}
			}
		})
		ws, res, err := websocket.Dial(t.Context(), g.URL, &websocket.DialOptions{HTTPClient: g.client(1)})
		if err != nil {
			t.Fatal(err)
		}
		ws.CloseNow()
		if len(res.Header[proxy.SecretField]) > 0 {
			t.Errorf("a WebSocket by %s gets %v", kind, res.Header)
		}
		c, _ := g.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
		if all, _ := io.ReadAll(c); strings.Contains(string(all), secret) || !strings.Contains(string(all), "103 Early Hints") {
			t.Errorf("by %s it gets %s", kind, all)
		}
	}
}

// issue 10, F
func TestReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{
		secret:                           secret,
		secret + "\n":                    secret,
		secret + "\r\n":                  secret,
		strings.Repeat("x", 1024) + "\n": strings.Repeat("x", 1024),
		"":                               "",
		secret[1:]:                       "",
		secret + "\n\n":                  "",
		secret + "\nX: y":                "",
		secret + " ":                     "",
		secret + "\x00":                  "",
		secret + "ü":                     "",
		strings.Repeat("x", 1025):        "",
		strings.Repeat("x", 1<<20):       "",
	} {
		testkit.WriteFile(t, file, content)
		got, err := proxy.ReadSecret(file)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.50q is read as %q, %v", content, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), file) || strings.Contains(err.Error(), secret[1:])) {
			t.Errorf("of %.50q it says %v", content, err)
		}
	}
	if got, err := proxy.ReadSecret(""); got != "" || err != nil {
		t.Errorf("without a file it is %q, %v", got, err)
	}
	if _, err := proxy.ReadSecret(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
}

// issue 10, F: an app that wants a certificate gets the one that is in use, whatever
// the protocol; a changed one is in use for the next request.
func TestAnUpstreamIsShownTheCertificate(t *testing.T) {
	authority := newAuthority(t)
	for _, kind := range []string{"https", "https with HTTP/1.1 only"} {
		t.Run(kind, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto, " ", r.TLS.PeerCertificates[0].SerialNumber)
			}))
			s.EnableHTTP2 = kind == "https"
			clients := x509.NewCertPool()
			clients.AddCert(authority.Leaf)
			s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
			s.Config.ErrorLog = nil
			s.StartTLS()
			t.Cleanup(s.Close)
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())

			file := filepath.Join(t.TempDir(), "changes")
			var current atomic.Pointer[proxy.Credentials]
			var failures atomic.Int64
			show := func(certificates ...tls.Certificate) {
				current.Store(&proxy.Credentials{TLS: &tls.Config{RootCAs: roots, Certificates: certificates}})
			}
			show()
			g := newGateway(t, proxy.Options{Upstreams: []string{s.URL}, ServerName: "example.com", Credentials: proxy.CredentialSource{
				Load: func() (proxy.Credentials, error) {
					if c := current.Load(); c != nil {
						return *c, nil
					}
					return proxy.Credentials{}, errors.New("no certificate in file")
				},
				Files:     []string{file},
				OnFailure: func() { failures.Add(1) },
			}})
			done := make(chan struct{})
			go func() { defer close(done); g.app.Watch(t.Context()) }()
			t.Cleanup(func() { <-done })
			ask := func() string { return body(t, get(t, g.client(1), g.URL)) }

			// In TLS 1.3 the connection may be reset before the alert that says why is read.
			testkit.Eventually(t, "it is said that the upstream wants a certificate", func() bool {
				if res := get(t, g.client(1), g.URL); res.StatusCode != 502 {
					t.Fatalf("without a certificate it gets %s; %s", res.Status, g.log)
				}
				return len(g.log.Lines(`class="client certificate"`)) > 0
			})
			n := 0
			change := func() { n++; testkit.WriteFile(t, file, strings.Repeat("x", n)) }
			show(authority.sign(t, 7))
			change()
			proto := map[string]string{"https": "HTTP/2.0", "https with HTTP/1.1 only": "HTTP/1.1"}[kind]
			testkit.Eventually(t, "the seventh is shown", func() bool { return ask() == proto+" 7" })
			show(authority.sign(t, 8))
			change()
			testkit.Eventually(t, "the eighth is shown", func() bool { return ask() == proto+" 8" })

			current.Store(nil)
			change()
			testkit.Eventually(t, "the failure is noticed", func() bool { return g.app.CredentialFailure() != nil })
			if failures.Load() == 0 || ask() != proto+" 8" {
				t.Errorf("then %q is shown, %d failures", ask(), failures.Load())
			}
			show(newAuthority(t).sign(t, 9)) // of somebody whom the app doesn't know
			change()
			testkit.Eventually(t, "the ninth is refused", func() bool { return strings.Contains(ask(), "502") })
			if g.app.CredentialFailure() != nil {
				t.Error("the failure stays")
			}
			show(authority.sign(t, 10))
			change()
			testkit.Eventually(t, "the tenth is shown", func() bool { return ask() == proto+" 10" })
		})
	}
}

// An authority signs certificates of clients.
type authority struct{ tls.Certificate }

func newAuthority(t *testing.T) authority {
	a := authority{}
	a.Certificate = a.sign(t, 1)
	return a
}

func (a authority) sign(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("certificate ", serial)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, any(key)
	if a.Leaf != nil {
		parent, signer = a.Leaf, a.PrivateKey
	} else {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
