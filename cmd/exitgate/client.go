package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/loopback"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy/changes"
)

// A connection says where the gateway's API is: its socket, or an address.
type connection struct {
	data, api, tokenFile, ca, cert, key string
}

// register adds the flags of a connection to a verb.
func (o *connection) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "the gateway's data `folder`, which has its socket (default $EXITGATE_DATA, or as serve has it, or the systemd unit's)")
	f.StringVar(&o.api, "api", "", "`URL` of the gateway's API on another machine, as https://gateway.example.org:8601 (default $EXITGATE_API)")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with a token for --api (default: the token in $EXITGATE_TOKEN)")
	f.StringVar(&o.ca, "ca", "", "`file` with the authorities that the certificate at --api is to be signed by")
	f.StringVar(&o.cert, "cert", "", "`file` with a certificate of your own for --api")
	f.StringVar(&o.key, "key", "", "`file` with its key")
	cmd.MarkFlagsRequiredTogether("cert", "key")
	_ = cmd.MarkFlagDirname("data") // the flags exist
	for _, file := range []string{"token-file", "ca", "cert", "key"} {
		_ = cmd.MarkFlagFilename(file)
	}
}

// address is where the API is asked over TCP, "" for the socket. What a flag
// says goes before the environment.
func (o *connection) address() string {
	if o.api != "" || o.data != "" {
		return o.api
	}
	return os.Getenv("EXITGATE_API")
}

// A client asks the gateway.
type client struct {
	http           *http.Client
	base           string
	target         string // where it is, for people
	socket         string // "" for TCP
	token          string
	hasCertificate bool            // a certificate of its own
	timeout        time.Duration   // for one request and its answer
	retryDelays    []time.Duration // before a write is sent again
}

const (
	dialTimeout       = 5 * time.Second
	requestTimeout    = 30 * time.Second
	verifyTimeout     = 10 * time.Minute // to read all of a ledger
	completionTimeout = time.Second      // for what completes a command line
	maxResponse       = 64 << 20         // bytes
	maxSecret         = 64 << 10
)

// open makes the client; it connects when it asks.
func (o *connection) open() (*client, error) {
	c := &client{timeout: requestTimeout, retryDelays: []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second}}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns:        2,
		IdleConnTimeout:     requestTimeout,
		DisableCompression:  true,
	}
	var err error
	if address := o.address(); address != "" {
		err = c.overTCP(address, transport, o)
	} else {
		err = c.overSocket(transport, o)
	}
	if err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Transport: transport,
		// A token is for who was named, not for whom they point to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (c *client) overSocket(transport *http.Transport, o *connection) error {
	if o.tokenFile != "" || o.ca != "" || o.cert != "" {
		return errors.New("--token-file, --ca, --cert and --key are for another machine's API: name it with --api")
	}
	folder, err := dataFolder(o.data)
	if err != nil {
		return exitFailure(err)
	}
	c.socket = statedir.Dir(folder).Socket()
	c.base, c.target = "http://localhost", c.socket
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", c.socket)
	}
	return nil
}

func (c *client) overTCP(address string, transport *http.Transport, o *connection) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("the address of an API is https://, a host and a port, as in --api https://gateway.example.org:8601")
	}
	if u.Scheme == "http" && !loopback.IsHost(u.Hostname()) {
		return fmt.Errorf("http://%s would send the token for everybody on the way to read: use https://", u.Host)
	}
	c.base = u.Scheme + "://" + u.Host
	c.target = c.base
	transport.Proxy = http.ProxyFromEnvironment
	if c.token, err = readToken(o.tokenFile); err != nil {
		return exitFailure(err)
	}
	c.hasCertificate = o.cert != ""
	transport.TLSClientConfig, err = certs.ClientTLS(o.ca, certs.Pair{Cert: o.cert, Key: o.key})
	return exitFailure(err)
}

// readToken never says what is in the file, or in the environment.
func readToken(file string) (string, error) {
	token, from := os.Getenv("EXITGATE_TOKEN"), "$EXITGATE_TOKEN"
	if file != "" {
		text, err := readSecret(file)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		token, from = string(text), file
	}
	token = strings.TrimSpace(token)
	if token == "" && file == "" {
		return "", nil // perhaps a certificate says who asks
	}
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("there is no token in %s: it is one line, as exitgate principal token prints it", from)
	}
	return token, nil
}

// readSecret reads a file that may be a pipe, as in --token-file <(pass exitgate).
func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return files.ReadAll(f, maxSecret)
}

// An apiResponse is what the API says, as it came.
type apiResponse []byte

// decode reads what the API said.
func decode[T any](a apiResponse, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(a, &v); err != nil {
		return v, fmt.Errorf("the gateway's answer can't be understood (%w): is it as new as this command? see exitgate version", err)
	}
	return v, nil
}

// writeIndented writes the answer for machines.
func (a apiResponse) writeIndented(w io.Writer) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, a, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := indented.WriteTo(w)
	return err
}

// get reads what is at a path.
func (c *client) get(ctx context.Context, path string) (apiResponse, error) {
	return c.send(ctx, request{method: http.MethodGet, path: path})
}

// post posts a question, which changes nothing.
func (c *client) post(ctx context.Context, path string, question any) (apiResponse, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, request{method: http.MethodPost, path: path, body: body})
}

// A condition is on what is in force, as If-Match has it.
type condition string

const always condition = ""

// ifRevision is that a revision is.
func ifRevision(number uint64) condition {
	return condition(strconv.Quote(strconv.FormatUint(number, 10)))
}

// write has something done, once: what may have been lost on the way is sent
// again, with the same key.
func (c *client) write(ctx context.Context, method, path string, when condition, body any) (apiResponse, error) {
	r := request{method: method, path: path, when: when, key: rand.Text()}
	var err error
	if body != nil {
		if r.body, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	sent := false
	for attempt := 0; ; attempt++ {
		a, err := c.send(ctx, r)
		_, never := errors.AsType[*unreachableError](err)
		switch {
		case err == nil, !outcomeUnknown(err) && !never, never && !sent:
			return a, err
		case ctx.Err() != nil, attempt == len(c.retryDelays):
			return nil, fmt.Errorf("it isn't known whether it was done: look at exitgate log before you try again (%w)", err)
		}
		sent = true
		select {
		case <-time.After(c.retryDelays[attempt]):
		case <-ctx.Done():
		}
	}
}

// A request to the API.
type request struct {
	method, path string
	when         condition
	key          string // by which it is known when it is sent again
	body         []byte
}

// send asks once. Its error is a *api.Problem if the gateway has answered.
func (c *client) send(ctx context.Context, r request) (apiResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := files.ReadAll(response.Body, maxResponse)
	switch {
	case errors.Is(err, files.ErrTooLarge):
		return nil, fmt.Errorf("the answer of %s is longer than %d MB", c.target, maxResponse>>20)
	case err != nil:
		return nil, c.noResponse(err)
	case response.StatusCode == http.StatusNoContent:
		return apiResponse("{}"), nil
	case response.StatusCode/100 == 2 && mediaType(response) == "application/json":
		return body, nil
	}
	return nil, c.problem(response, body)
}

// do sends a request, and returns a response whose body is still to be read.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	request, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		request.Header.Set("Idempotency-Key", r.key)
	}
	if r.when != always {
		request.Header.Set("If-Match", string(r.when))
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	switch {
	case err == nil:
		return response, nil
	case connected:
		return nil, c.noResponse(err)
	}
	return nil, &unreachableError{target: c.target, socket: c.socket != "", err: err}
}

func mediaType(response *http.Response) string {
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return media
}

// problem reads why something was not done.
func (c *client) problem(response *http.Response, body []byte) error {
	var p api.Problem
	if mediaType(response) != "application/problem+json" || json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answers %s, as no gateway does: is it its admin API?", c.target, response.Status)
	}
	if p.Code == "unauthenticated" && c.token == "" && !c.hasCertificate {
		p.Advice = "name a file with your token with --token-file, or put the token into EXITGATE_TOKEN; who has none asks for exitgate principal token on the gateway's machine"
	}
	return &p
}

// events tells of what happens at the gateway until the context, the
// connection or deliver ends it.
func (c *client) events(ctx context.Context, deliver func(api.Event) bool) error {
	response, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/events"})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || mediaType(response) != "text/event-stream" {
		body, err := files.ReadAll(response.Body, maxSecret)
		if err != nil {
			return c.noResponse(err)
		}
		return c.problem(response, body)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue // its type is in the data, too
		}
		var e api.Event
		if json.Unmarshal(data, &e) == nil && !deliver(e) {
			return nil
		}
	}
	return c.noResponse(cmp.Or(lines.Err(), io.EOF))
}

// unreachableError is the error of a request that was never sent.
type unreachableError struct {
	target string
	socket bool
	err    error
}

func (e *unreachableError) Unwrap() error { return e.err }

func (e *unreachableError) Error() string {
	const start = "start one with exitgate serve, name its data folder with --data, or another machine's API with --api"
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(e.err, syscall.EACCES) && e.socket:
		return fmt.Sprintf("you may not open the gateway's socket %s: run the command as a user who may, with sudo for instance, or ask its API over TCP with --api and a token", e.target)
	case errors.Is(e.err, fs.ErrNotExist) && e.socket:
		return fmt.Sprintf("no gateway is running here, as there is no socket %s: %s", e.target, start)
	case errors.Is(e.err, syscall.ECONNREFUSED) && e.socket:
		return fmt.Sprintf("the gateway isn't running any more, as nobody answers at its socket %s: %s", e.target, start)
	case errors.Is(e.err, syscall.EINVAL) && e.socket:
		return fmt.Sprintf("the path %s is too long for a socket: use a data folder with a shorter one", e.target)
	case errors.As(e.err, &untrusted):
		return fmt.Sprintf("the certificate of %s is not to be trusted (%v): name who signed it with --ca", e.target, untrusted.Err)
	case errors.Is(e.err, context.DeadlineExceeded):
		return fmt.Sprintf("the gateway at %s did not answer in time", e.target)
	}
	return fmt.Sprintf("the gateway at %s can't be reached (%v): see that it runs, and that --api or --data is right", e.target, networkCause(e.err))
}

// isNotRunning reports whether an error is that there is no gateway at all.
func isNotRunning(err error) bool {
	away, ok := errors.AsType[*unreachableError](err)
	return ok && away.socket &&
		(errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR))
}

// noResponseError is the error of a request that was sent, and whose answer never came.
type noResponseError struct {
	target string
	advice string
	err    error
}

func (c *client) noResponse(err error) error {
	e := &noResponseError{target: c.target, err: err}
	if strings.HasPrefix(c.base, "https:") && !c.hasCertificate {
		e.advice = "; if it wants to see a certificate of yours, give --cert and --key"
	}
	return e
}

func (e *noResponseError) Unwrap() error { return e.err }

func (e *noResponseError) Error() string {
	switch {
	case errors.Is(e.err, context.Canceled):
		return "interrupted"
	case errors.Is(e.err, context.DeadlineExceeded):
		return fmt.Sprintf("the gateway at %s did not answer in time", e.target)
	}
	return fmt.Sprintf("the connection to the gateway at %s was lost (%v)%s", e.target, networkCause(e.err), e.advice)
}

// outcomeUnknown reports whether the gateway may have done what it was asked for, without
// saying so.
func outcomeUnknown(err error) bool {
	_, away := errors.AsType[*noResponseError](err)
	p, ok := errors.AsType[*api.Problem](err)
	return away || ok && p.Code == "not-acknowledged"
}

// networkCause takes from an error of the network what people can't read.
func networkCause(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}

// commandError makes of an error what the command ends with. For machines a problem
// is printed as JSON.
func commandError(cmd *cobra.Command, asJSON bool, err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if refusal, here := errors.AsType[*changes.Error](err); !ok && here { // found out before the gateway would
		var problem api.Problem
		problem, ok = admin.ProblemOf(refusal)
		p = &problem
	}
	if !ok {
		return exitFailure(err)
	}
	code := exitCode(p)
	if asJSON {
		return errors.Join(writeJSON(cmd.OutOrStdout(), p), &exitError{code: code})
	}
	if code == exitDone {
		newPrinter(cmd.OutOrStdout()).paragraph("", "%s", capitalise(p.Detail))
		return nil
	}
	return &exitError{code, errors.New(formatProblem(p))}
}

// exitCode is the exit code for a problem: 3 where it would be no use to try the
// same again.
func exitCode(p *api.Problem) int {
	switch p.Code {
	case "no-change":
		return exitDone
	case "wrong-policy", "conflict", "plan-changed", "ended", "four-eyes", "forbidden", "invalid":
		return exitRefused
	case "territories-unsaid", "unknown-part-unsaid":
		return exitUsage
	}
	return exitFailed
}

// formatProblem says what a problem is, why who was faster was, and what to do. What
// is wrong in a policy is told as check tells it.
func formatProblem(p *api.Problem) string {
	if len(p.Errors) > 0 {
		parts := []string{sanitise(p.Detail) + ":"}
		for _, e := range p.Errors {
			parts = append(parts, formatDocumentProblem(e))
		}
		if p.Advice != "" { // beside that of each
			parts = append(parts, sanitiseLines(p.Advice))
		}
		return strings.Join(parts, "\n\n")
	}
	text := sanitise(p.Detail)
	if p.Winner != nil {
		text += "\n  " + becausePrefix + sanitise(p.Winner.Because)
	}
	if p.Advice != "" {
		text += "\n  " + sanitise(p.Advice)
	}
	return text
}

// formatDocumentProblem writes a problem of a document as check does.
func formatDocumentProblem(p *strictyaml.Diagnostic) string {
	harmless := *p
	harmless.File, harmless.Message = sanitise(p.File), sanitise(p.Message)
	harmless.Source, harmless.Advice = sanitiseLines(p.Source), sanitiseLines(p.Advice)
	return harmless.Error()
}

// formatNames names authors.
func formatNames(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return sanitise(strings.Join(names, ", "))
}

// capitalise begins with a capital letter.
func capitalise(text string) string {
	text = sanitise(text)
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
