package main

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// demoRequests are what people ask of the messenger, the likelier ones more often.
var demoRequests = []struct{ method, path string }{
	{http.MethodGet, "/"}, {http.MethodGet, "/"}, {http.MethodGet, "/api/messages"}, {http.MethodGet, "/api/messages"},
	{http.MethodPost, "/signup"}, {http.MethodGet, "/account/export"}, {http.MethodGet, "/legal/"},
}

// sendTraffic has people of the whole world ask the gateway, until the context ends: from
// addresses drawn at random, so that each country has as many as it has addresses.
func sendTraffic(ctx context.Context, url string, each time.Duration) {
	client := &http.Client{
		Timeout:       time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // the demo's own certificate
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(each)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := demoRequests[rand.IntN(len(demoRequests))]
		r, err := http.NewRequestWithContext(ctx, asked.method, url+asked.path, strings.NewReader(""))
		if err != nil {
			return
		}
		r.Header.Set("X-Forwarded-For", randomAddress().String())
		response, err := client.Do(r)
		if err != nil {
			continue // the gateway ends, or doesn't answer yet
		}
		_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
		_ = response.Body.Close()
	}
}

// randomAddress draws an address of the public internet.
func randomAddress() netip.Addr {
	for {
		n := rand.Uint32()
		a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		if a.IsGlobalUnicast() && !a.IsPrivate() && a.As4()[0] < 224 && a.As4()[0] > 0 {
			return a
		}
	}
}
