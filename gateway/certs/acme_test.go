package certs

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/exitgate/exitgate/internal/testkit"
)

func newACME(t *testing.T, hosts ...string) *ACME {
	t.Helper()
	a, err := NewACME(ACMEOptions{
		Hosts: hosts, Email: "ops@example.org", Issuers: []Issuer{{Directory: "https://127.0.0.1:1/dir"}}, Folder: t.TempDir(),
		Options: Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now, OnFailure: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Open(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, nil)
	t.Cleanup(a.Close)
	return a
}

func TestOnlyChallengesForOwnNamesAreLookedAt(t *testing.T) {
	a := newACME(t, "example.org", "*.example.net")
	for name, own := range map[string]bool{
		"example.org": true, "EXAMPLE.org": true, "www.example.org": false, "example.net": false, "a.example.net": true, "a.b.example.net": false, "": false,
	} {
		if got := a.manages(name); got != own {
			t.Errorf("%q: %v", name, got)
		}
	}
	hello := &tls.ClientHelloInfo{ServerName: "other.example", SupportedProtos: []string{challengeProtocol}}
	if _, err := a.GetCertificate(hello); err == nil {
		t.Error("there is a certificate for another's challenge")
	}
}

func TestWhatIsNoChallengeOfOnesOwnGoesOn(t *testing.T) {
	a := newACME(t, "example.org")
	for _, target := range []string{
		"http://example.org/", "http://example.org/.well-known/acme-challenge/of-the-app", "http://example.org:80/.well-known/acme-challenge/../x",
		"http://other.example/.well-known/acme-challenge/x", "http://[::1]/.well-known/acme-challenge/x",
	} {
		w := httptest.NewRecorder()
		if a.AnswerChallenge(w, httptest.NewRequest("GET", target, nil)) || len(w.Header()) > 0 || w.Body.Len() > 0 {
			t.Errorf("%s: it was answered", target)
		}
	}
}

func TestOfCertmagicsLogNothingAboutClientsPasses(t *testing.T) {
	var log testkit.Buffer
	l := zap.New(zapToSlog{log: slog.New(slog.NewTextHandler(&log, nil))})
	l.With(zap.String("remote", "192.0.2.1:443")).Warn("looking up info for HTTP challenge",
		zap.String("identifier", "example.org"), zap.String("remote_addr", "192.0.2.1:443"), zap.String("user_agent", "Mozilla"),
		zap.Duration("retrying_in", time.Minute), zap.Error(errors.New("no such file")))
	l.Info("served key authentication", zap.String("remote", "192.0.2.1:443"))
	got := log.String()
	for _, want := range []string{"level=WARN", "HTTP challenge", "identifier=example.org", "retrying_in=1m0s", "no such file"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing: %s", want, got)
		}
	}
	if strings.Contains(got, "192.0.2.1") || strings.Contains(got, "Mozilla") || strings.Contains(got, "served") {
		t.Errorf("it has: %s", got)
	}
}
