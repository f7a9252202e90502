package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A scenario is one kind of load.
type scenario struct {
	protocol string // as net/http spells it
	client   string // the address that X-Forwarded-For claims
	status   int    // the right answer
	name     string
}

func (s scenario) String() string { return s.name }

var scenarios = []scenario{
	{"HTTP/1.1", servedClient, http.StatusOK, "HTTP/1.1 served"},
	{"HTTP/1.1", refusedClient, http.StatusUnavailableForLegalReasons, "HTTP/1.1 refused"},
	{"HTTP/2.0", servedClient, http.StatusOK, "HTTP/2 served"},
	{"HTTP/2.0", refusedClient, http.StatusUnavailableForLegalReasons, "HTTP/2 refused"},
}

// verify makes sure that a server does the work that it is measured for.
func verify(ctx context.Context, s *server) error {
	for _, scenario := range scenarios {
		if err := verifyOne(ctx, s, scenario); err != nil {
			return fmt.Errorf("%s: %w", scenario, err)
		}
	}
	return nil
}

func verifyOne(ctx context.Context, s *server, want scenario) error {
	transport := &http.Transport{
		Protocols:       new(http.Protocols),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // made by ourselves a moment ago
	}
	transport.Protocols.SetHTTP1(want.protocol == "HTTP/1.1")
	transport.Protocols.SetHTTP2(want.protocol == "HTTP/2.0")
	defer transport.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.addr+"/", nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Forwarded-For", want.client)
	response, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case response.Proto != want.protocol:
		return fmt.Errorf("answered over %s", response.Proto)
	case response.TLS.Version != tls.VersionTLS13 || response.TLS.CipherSuite != tls.TLS_AES_128_GCM_SHA256:
		return fmt.Errorf("answered over %s with %s", tls.VersionName(response.TLS.Version), tls.CipherSuiteName(response.TLS.CipherSuite))
	case response.StatusCode != want.status:
		return fmt.Errorf("answered %d, want %d: %.200q", response.StatusCode, want.status, body)
	case want.status == http.StatusOK && string(body) != originBody:
		return fmt.Errorf("changed the origin's body to %.200q", body)
	}
	return nil
}
