//go:build integration

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/exitgate/exitgate/gateway/certs/acmetest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// nothingServed refuses everybody, wherever they are.
const nothingServed = "jurisdictions: {default: withdrawn, private: withdrawn, unlocated: withdrawn}\n"

// newACMEProcess sets up a gateway that obtains a certificate for example.org.
// Where it isn't to be validated by a protocol, the authority tries in vain.
func newACMEProcess(t *testing.T, byHTTP, byTLS bool, o acmetest.Options) (*gatewayProcess, *acmetest.Server) {
	t.Helper()
	m := newGatewayProcess(t, nothingServed)
	https, plain := testkit.FreePort(t), testkit.FreePort(t)
	o.HTTPPort, o.TLSPort = testkit.FreePort(t), testkit.FreePort(t)
	if byHTTP {
		o.HTTPPort = plain
	}
	if byTLS {
		o.TLSPort = https
	}
	pebble := acmetest.Start(t, o)
	m.listen = fmt.Sprintf(`{https: "127.0.0.1:%d", http: "127.0.0.1:%d"}`, https, plain)
	m.hosts = "[example.org]"
	m.acme = fmt.Sprintf("email: ops@example.org, directory: %q, roots: %q", pebble.Directory, pebble.Roots)
	return m, pebble
}

// handshake returns the certificate that clients of a host get, and why not.
func (m *gatewayProcess) handshake(host string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", m.https, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// obtains waits until there is a certificate for a host, and returns it.
func (m *gatewayProcess) obtains(host string) (leaf *x509.Certificate) {
	m.t.Helper()
	testkit.Eventually(m.t, "there is a certificate for "+host, func() bool {
		cert, err := m.handshake(host)
		leaf = cert
		return err == nil && cert.VerifyHostname(host) == nil
	})
	return leaf
}

func TestACertificateIsObtainedWhileNobodyIsServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		byHTTP, byTLS bool
		eab           bool
		source        string
	}{
		"over HTTP":                           {byHTTP: true},
		"over TLS":                            {byTLS: true},
		"with an external account":            {byTLS: true, eab: true},
		"while no policy is known, over TLS":  {byTLS: true, source: `{ledger: {nats: ["nats://127.0.0.1:1"]}}`},
		"while no policy is known, over HTTP": {byHTTP: true, source: `{ledger: {nats: ["nats://127.0.0.1:1"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o acmetest.Options
			const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
			if c.eab {
				o.EAB = map[string]string{"kid-1": key}
			}
			m, _ := newACMEProcess(t, c.byHTTP, c.byTLS, o)
			m.source = c.source
			if c.eab {
				m.write("eab.key", key+"\n")
				m.acme += fmt.Sprintf(", eab: {key-id: kid-1, key-file: %q}", m.file("eab.key"))
			}
			m.start()
			leaf := m.obtains("example.org")
			if len(leaf.DNSNames) != 1 {
				t.Errorf("the certificate is for %v", leaf.DNSNames)
			}
			want := http.StatusUnavailableForLegalReasons
			if c.source != "" {
				want = http.StatusServiceUnavailable
			}
			if got := m.requestAs("example.org", "/").status; got != want {
				t.Errorf("a client gets %d, want %d", got, want)
			}
			if strings.Contains(m.log.String(), "127.0.0.1:") && strings.Contains(m.log.String(), "remote") {
				t.Errorf("there is an address of a client in the log:\n%s", m.log)
			}
		})
	}
}

// requestAs makes a request for a host of the gateway.
func (m *gatewayProcess) requestAs(host, path string) response {
	m.t.Helper()
	r, err := http.NewRequestWithContext(m.t.Context(), "GET", "https://"+m.https+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Host = host
	return m.do(r)
}

func TestACertificateOutlivesItsAuthority(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, true, true, acmetest.Options{})
	m.start()
	first := m.obtains("example.org")
	pebble.Stop()
	m.kill()
	m.start()
	if again := m.obtains("example.org"); again.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("after the restart it is another certificate")
	}
	if got := m.metric(`exitgate_certificate_expiry_timestamp_seconds{host="example.org"}`); got == "" || got == "0" {
		t.Errorf("its end is %q", got)
	}
}

func TestACertificateThatHasEndedIsServedUntilThereIsAnother(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, true, true, acmetest.Options{Validity: 1})
	m.start()
	first := m.obtains("example.org")
	release := make(chan struct{})
	m.kill()
	pebble.Hold(func(*http.Request) { <-release })
	m.start()
	if ended := m.obtains("example.org"); ended.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("another certificate came from nowhere")
	}
	testkit.Eventually(t, "readiness says that it has ended", func() bool {
		return strings.Contains(m.getAdmin("/readyz").body, "certificate example.org")
	})
	close(release)
	testkit.Eventually(t, "there is a new one", func() bool {
		return m.obtains("example.org").SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestWithoutItsAuthorityAGatewayServesAndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, true, true, acmetest.Options{})
	pebble.Stop()
	m.start()
	testkit.Eventually(t, "the failure is counted", func() bool {
		n := m.metric("exitgate_certificate_obtain_failures_total")
		return n != "" && n != "0"
	})
	if _, err := m.handshake("example.org"); err == nil {
		t.Error("there is a certificate from nowhere")
	}
	m.says("readiness", m.getAdmin("/readyz?verbose").body, "certificate example.org", "could not be obtained", "tried again")
	m.says("the metrics", m.getAdmin("/metrics").body, `exitgate_certificate_expiry_timestamp_seconds{host="example.org"} 0`)
}

func TestAGatewayThatWasKilledWhileItObtainedStartsAgain(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, true, true, acmetest.Options{})
	ordered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	pebble.Hold(func(r *http.Request) {
		if strings.Contains(r.URL.Path, "order") {
			once.Do(func() { close(ordered) })
			<-release
		}
	})
	if !m.run() {
		t.Fatalf("the gateway didn't start:\n%s", m.log)
	}
	<-ordered // it holds the lock on the name
	m.kill()
	close(release)
	pebble.Hold(nil)
	m.start()
	m.obtains("example.org")
}

func TestTheFirstAuthorityFailsAndTheNextIssues(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, true, true, acmetest.Options{})
	dead := fmt.Sprintf("https://127.0.0.1:%d/dir", testkit.FreePort(t))
	m.acme = fmt.Sprintf("email: ops@example.org, directory: %q, fallbacks: [{directory: %q, roots: %q}]", dead, pebble.Directory, pebble.Roots)
	m.start()
	m.obtains("example.org")
}

func TestAWildcardIsObtainedByDNS(t *testing.T) {
	t.Parallel()
	m, pebble := newACMEProcess(t, false, false, acmetest.Options{})
	hook := http.NewServeMux()
	var calls []string
	hook.HandleFunc("/{verb}/{name}/{value}", func(_ http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.PathValue("verb"))
		if r.PathValue("verb") == "add" {
			pebble.SetTXT(r.PathValue("name"), r.PathValue("value"))
		} else {
			pebble.SetTXT(r.PathValue("name"))
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(l, hook) }()
	t.Cleanup(func() { l.Close() })
	m.write("hook", "#!/bin/sh\nexec curl -fsS http://"+l.Addr().String()+"/$1/$2/$3\n")
	m.hosts = `["*.example.org"]`
	m.acme += fmt.Sprintf(", dns: {command: [sh, %q]}", m.file("hook"))
	m.start()
	if leaf := m.obtains("www.example.org"); !slices.Equal(leaf.DNSNames, []string{"*.example.org"}) {
		t.Errorf("the certificate is for %v", leaf.DNSNames)
	}
	testkit.Eventually(t, "the record is removed", func() bool { return slices.Contains(calls, "remove") })
}

// TestACertificateInOneCommand is what README shows, with another authority.
func TestACertificateInOneCommand(t *testing.T) {
	https := testkit.FreePort(t)
	pebble := acmetest.Start(t, acmetest.Options{HTTPPort: testkit.FreePort(t), TLSPort: https})
	t.Setenv("SSL_CERT_FILE", pebble.Roots)
	app := newRecorder(t)
	g := startServe(t, app.URL, "--host", "example.org", "--acme", "ops@example.org", "--acme-directory", pebble.Directory, "--listen", fmt.Sprint("127.0.0.1:", https))
	m := &gatewayProcess{t: t, https: g.https}
	if leaf := m.obtains("example.org"); leaf.VerifyHostname("example.org") != nil {
		t.Errorf("the certificate is for %v", leaf.DNSNames)
	}
}
