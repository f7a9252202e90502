package purge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/files"
)

// A Hook is what the operator has set: a command, an address, or both.
type Hook struct {
	Command   []string // with its arguments; no shell
	URL       string
	TokenFile string         // of a bearer token for the URL; "": none
	RootCAs   *x509.CertPool // for the URL; nil: the system's
	Timeout   time.Duration  // of each of the two
}

// Do runs the command and sends the request, and returns what failed.
func (h Hook) Do(ctx context.Context, o Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var errs []error
	if len(h.Command) > 0 {
		errs = append(errs, h.run(ctx, o, text))
	}
	if h.URL != "" {
		errs = append(errs, h.post(ctx, text))
	}
	return errors.Join(errs...)
}

// run runs the command. It has the order as its standard input, and the
// jurisdictions in EXITGATE_JURISDICTIONS.
func (h Hook) run(ctx context.Context, o Order, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	output := &beginning{}
	cmd := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), output, output
	cmd.Env = append(os.Environ(), "EXITGATE_JURISDICTIONS="+o.Jurisdictions())
	cmd.WaitDelay = time.Second // what it has started may hold its output open
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the command took longer than %s", h.Timeout)
	case err != nil && output.Len() > 0:
		return fmt.Errorf("the command: %w: %s", err, strings.TrimSpace(strings.ToValidUTF8(output.String(), "?")))
	case err != nil:
		return fmt.Errorf("the command: %w", err)
	}
	return nil
}

// post sends the order. Redirects are not followed.
func (h Hook) post(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if h.TokenFile != "" {
		token, err := files.Read(h.TokenFile, 16<<10)
		if err != nil {
			return fmt.Errorf("the token of the purge: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: h.Timeout}).DialContext,
		TLSHandshakeTimeout: h.Timeout,
		TLSClientConfig:     &tls.Config{RootCAs: h.RootCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:   true, // it is asked for rarely
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		err = failed.Err // the address may have a secret in it
	}
	if err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	defer response.Body.Close()
	output := &beginning{}
	_, _ = io.Copy(output, io.LimitReader(response.Body, maxOutput)) // the status tells
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("the request: %s: %s", response.Status, strings.TrimSpace(strings.ToValidUTF8(output.String(), "?")))
	}
	return nil
}

// maxOutput is how much of what a hook says is read.
const maxOutput = 1 << 10

// beginning keeps the beginning of what is written.
type beginning struct{ bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxOutput-b.Len())])
	return len(p), nil
}
