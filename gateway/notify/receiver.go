package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/files"
)

// A Receiver is where events are sent.
type Receiver struct {
	URL        string
	Events     []string // kinds; none: all
	SecretFile string   // read each time; "": nothing is signed
	RootCAs    *x509.CertPool
	Timeout    time.Duration
}

// Name is what logs and metrics call it: the host, as the rest of its address may be
// secret.
func (r Receiver) Name() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

// id is what its queue is kept under.
func (r Receiver) id() string {
	sum := sha256.Sum256([]byte(r.URL))
	return hex.EncodeToString(sum[:8])
}

func (r Receiver) wants(e Event) bool {
	return len(r.Events) == 0 || slices.Contains(r.Events, strings.TrimPrefix(e.Type, TypePrefix))
}

// secretPrefix stands before a secret in base64 (Standard Webhooks, "Signature scheme").
const secretPrefix = "whsec_"

// ReadSecret reads the secret that a receiver knows, too: 24 to 64 bytes.
func ReadSecret(file string) ([]byte, error) {
	text, err := files.Read(file, 4<<10)
	if err != nil {
		return nil, fmt.Errorf("the secret: %w", err)
	}
	encoded, found := strings.CutPrefix(strings.TrimSpace(string(text)), secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, fmt.Errorf("the secret in %s isn't %s and 24 to 64 bytes in base64: make one with: echo %s$(openssl rand -base64 32)", file, secretPrefix, secretPrefix)
	}
	return secret, nil
}

// laterError is of a receiver that says when to try again.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// send sends an event once. Redirects are not followed: who was named is told, and
// nobody they point to.
func (r Receiver) send(ctx context.Context, e Event, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(text))
	if err != nil {
		return errors.New("its address is none")
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	h := request.Header
	h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	h.Set("User-Agent", "exitgate")
	h.Set("Webhook-Id", e.ID)
	h.Set("Webhook-Timestamp", stamp)
	if r.SecretFile != "" {
		secret, err := ReadSecret(r.SecretFile)
		if err != nil {
			return err
		}
		h.Set("Webhook-Signature", sign(secret, e.ID, stamp, text))
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: r.Timeout}).DialContext,
			TLSHandshakeTimeout: r.Timeout,
			TLSClientConfig:     &tls.Config{RootCAs: r.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:   true, // it is told rarely
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		err = failed.Err // the address may have a secret in it
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10)) // the status tells
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return nil
	}
	err = fmt.Errorf("it answers %s", response.Status)
	if response.StatusCode == http.StatusGone { // it wants no more: it is asked again seldom
		return &laterError{err, time.Hour}
	}
	if seconds, invalid := strconv.Atoi(response.Header.Get("Retry-After")); invalid == nil && seconds > 0 {
		return &laterError{err, time.Duration(seconds) * time.Second}
	}
	return err
}

// sign returns the signature of a message (Standard Webhooks, "Signature scheme",
// version 1: HMAC-SHA256).
func sign(secret []byte, id, stamp string, text []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, text)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
