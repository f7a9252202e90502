package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/exitgate/exitgate/internal/files"
)

// LetsEncrypt is the ACME directory of Let's Encrypt.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// An Issuer is a certificate authority that speaks ACME.
type Issuer struct {
	Directory string // URL of its directory (RFC 8555, section 7.1.1)
	Roots     string // PEM file of authorities to trust for it; "": the system's
	// EABKeyID and EABKey bind the account to one that the authority knows
	// (RFC 8555, section 7.3.4). EABKey is a file with the MAC key, base64url.
	EABKeyID, EABKey string
}

// ACMEOptions are what an ACME obtains certificates with.
type ACMEOptions struct {
	Hosts   []string // the names to obtain certificates for, one each
	Email   string   // of the account
	Issuers []Issuer // asked in turn
	DNS     DNSHook  // if set, names are validated by it alone
	Folder  string   // where accounts, keys and certificates are kept
	Options
}

// ACME obtains certificates, and renews them, by ACME (RFC 8555). All methods may
// be called concurrently, once Open has returned.
type ACME struct {
	o       ACMEOptions
	issuers []certmagic.ACMEIssuer
	cache   *certmagic.Cache
	config  *certmagic.Config

	mu       sync.Mutex
	failures map[string]Failure // why a certificate could not be obtained, by host
}

// NewACME reads what certificates are obtained with. The error says everything
// that is wrong with it.
func NewACME(o ACMEOptions) (*ACME, error) {
	a := &ACME{o: o, failures: make(map[string]Failure)}
	var wrong []error
	for _, issuer := range o.Issuers {
		template, err := issuer.open()
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", issuer.Directory, err))
		}
		template.Email, template.Agreed = o.Email, true
		a.issuers = append(a.issuers, template)
	}
	return a, errors.Join(wrong...)
}

func (i Issuer) open() (a certmagic.ACMEIssuer, err error) {
	a.CA = i.Directory
	if a.TrustedRoots, err = LoadPool(i.Roots); err != nil {
		return a, err
	}
	if i.EABKeyID == "" {
		return a, nil
	}
	key, err := files.Read(i.EABKey, limit)
	if err != nil {
		return a, fmt.Errorf("key of the external account: %w", err)
	}
	a.ExternalAccount = &acme.EAB{KeyID: i.EABKeyID, MACKey: string(bytes.TrimSpace(key))}
	return a, nil
}

// Open makes the ACME ready for Watch and for handshakes. The addresses are those
// that GetCertificate and AnswerChallenge are used at; http is nil if nothing is
// served without TLS. Close has to be called.
func (a *ACME) Open(https, http net.Addr) {
	logger := zap.New(zapToSlog{log: a.o.Logger})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage:            &certmagic.FileStorage{Path: a.o.Folder},
		Logger:             logger,
		OnEvent:            a.follow,
		ShouldEmitFunc:     func(event string) bool { return strings.HasPrefix(event, "cert_") },
		DefaultServerName:  a.o.Hosts[0],
		FallbackServerName: a.o.Hosts[0],
	})
	a.config.Issuers = nil
	for _, template := range a.issuers {
		template.Logger = logger
		// certmagic listens where nobody does: it has to know that we do.
		template.ListenHost, template.AltTLSALPNPort = splitAddress(https)
		template.DisableHTTPChallenge = http == nil
		if http != nil {
			_, template.AltHTTPPort = splitAddress(http)
		}
		if a.o.DNS.IsSet() {
			template.DNS01Solver = a.o.DNS
		}
		a.config.Issuers = append(a.config.Issuers, certmagic.NewACMEIssuer(a.config, template))
	}
}

// Close ends what Open began.
func (a *ACME) Close() {
	if a.cache != nil {
		a.cache.Stop()
	}
}

// Watch obtains certificates and renews them, in the background, until the context
// ends. Until there is one for a host, handshakes for it fail.
func (a *ACME) Watch(ctx context.Context) {
	for _, host := range a.o.Hosts {
		if err := a.config.ManageAsync(ctx, []string{host}); err != nil {
			a.fail(host, err)
			a.o.Logger.Error("certificate not obtained", "host", host, "error", err)
		}
	}
}

func splitAddress(a net.Addr) (host string, port int) {
	host, text, _ := net.SplitHostPort(a.String()) // it is one that is listened at
	port, _ = strconv.Atoi(text)
	return host, port
}

// follow hears what becomes of certificates.
func (a *ACME) follow(_ context.Context, event string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		a.mu.Lock()
		delete(a.failures, host)
		a.mu.Unlock()
		a.o.Logger.Info("certificate obtained", "host", host, "issuer", data["issuer"])
	case "cert_failed":
		err, _ := data["error"].(error)
		a.fail(host, err)
	}
	return nil
}

// fail notes why there is no new certificate for a host.
func (a *ACME) fail(host string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	failure, failing := a.failures[host]
	if !failing {
		failure.Since = a.o.Now()
	}
	failure.Err = err
	a.failures[host] = failure
	a.o.OnFailure()
}

// Failures returns why certificates could not be obtained or renewed when it was
// last tried, by host, and since when that fails. It is tried again.
func (a *ACME) Failures() map[string]Failure {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.failures)
}

// manages reports whether certificates are obtained for a name.
func (a *ACME) manages(name string) bool {
	return slices.ContainsFunc(a.o.Hosts, func(host string) bool { return covers(host, strings.ToLower(name)) })
}

// covers reports whether a certificate for host is for name (RFC 6125, section
// 6.4.3): an asterisk stands for one label.
func covers(host, name string) bool {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		_, parent, _ := strings.Cut(name, ".")
		return parent == rest
	}
	return host == name
}

// GetCertificate returns the certificate for a handshake, also of an authority
// that validates a name (TLS-ALPN, RFC 8737).
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if isChallenge(hello) && !a.manages(hello.ServerName) {
		return nil, errors.New("a challenge for a name that no certificate is obtained for")
	}
	return a.config.GetCertificate(hello)
}

// isChallenge reports whether an authority asks whether a name is served here.
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{challengeProtocol})
}

// challengeProtocol is what it offers alone (RFC 8737, section 4).
const challengeProtocol = acmez.ACMETLS1Protocol

// AnswerChallenge answers an authority, one of the issuers, that validates a name over HTTP
// (RFC 8555, section 8.3), and reports whether it has.
func (a *ACME) AnswerChallenge(w http.ResponseWriter, r *http.Request) bool {
	return certmagic.LooksLikeHTTPChallenge(r) && a.manages(hostOf(r)) && slices.ContainsFunc(a.config.Issuers, func(i certmagic.Issuer) bool {
		issuer, ok := i.(*certmagic.ACMEIssuer)
		return ok && issuer.HandleHTTPChallenge(w, r)
	})
}

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// Expiry returns when the certificate for each host expires; the zero time where
// there is none yet.
func (a *ACME) Expiry() map[string]time.Time {
	ends := make(map[string]time.Time, len(a.o.Hosts))
	for _, host := range a.o.Hosts {
		ends[host] = time.Time{}
		for _, cert := range a.cache.AllMatchingCertificates(host) {
			if end := cert.Leaf.NotAfter; end.After(ends[host]) {
				ends[host] = end
			}
		}
	}
	return ends
}
