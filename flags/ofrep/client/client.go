package client

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

// Options say which server to ask, and how.
type Options struct {
	// URL is the base of the server's API: what comes before /ofrep.
	URL string
	// Headers returns what is sent along with a request: Authorization or
	// X-API-Key. It is called before each one, as secrets change, and from
	// many goroutines at once. What its error says gets into the log. Nil:
	// nothing is sent along.
	Headers func() (http.Header, error)
	// RootCAs are the authorities that the server's certificate may come
	// from. Nil: the system's.
	RootCAs *x509.CertPool
	// Poll is how long to wait between rounds, give or take a tenth, such
	// that gateways don't ask in step. 0: 30 seconds.
	Poll time.Duration
	// Timeout is how long one request may take, its answer included. 0: 10
	// seconds, as the guideline "Creating an OFREP server provider" wants it.
	Timeout time.Duration

	Logger *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
}

// A Provider reads flags from a server that speaks OFREP, such as flagd, GO
// Feature Flag or Flipt. It is an [openfeature.FeatureProvider] and safe for
// use by many goroutines.
//
// Flags and contexts that are kept (see [Provider.Cache]) are asked for in
// rounds, and an evaluation of one reads the last good answer from memory. So
// it costs no request, and goes on when the server is gone. Any other
// evaluation is a request of its own.
//
// No answer is taken as it comes: one that is too large, no JSON, ambiguous
// or of wrong types is an error as a whole, and what was known stays. An error
// says what to do. None of them, and no line in the log, repeats a context,
// credentials or what the server said in its own words, which may repeat both.
//
// Rounds belong to OpenFeature's life cycle: Init starts them and Shutdown
// ends them. The event streams that OFREP 0.3 lets a server offer are not
// followed: they are optional, and lead wherever the server says.
type Provider struct {
	options Options
	bulk    string // URL
	rounds  *http.Client
	calls   *http.Client

	keeping sync.Mutex // held by Cache
	table   atomic.Pointer[contextTable]

	turn  chan struct{} // held by a round
	begin int           // where the next round begins; needs the turn
	wake  chan struct{}

	hold atomic.Int64 // until when the server wants no request, Unix nanoseconds

	mu       sync.Mutex
	status   Status
	failures int // rounds in a row in which nothing was answered
	events   chan openfeature.Event
	stop     func() // nil: not running
}

var (
	_ openfeature.FeatureProvider          = (*Provider)(nil)
	_ openfeature.EventHandler             = (*Provider)(nil)
	_ openfeature.ContextAwareStateHandler = (*Provider)(nil)
)

const (
	// roundConnections bounds how many contexts are asked for at once.
	roundConnections = 8
	// callConnections bounds how many single evaluations are under way at
	// once. Rounds have connections of their own, so that users can't
	// crowd them out.
	callConnections = 64
)

// New returns a provider that keeps nothing yet. It makes no request.
func New(options Options) (*Provider, error) {
	base, err := baseURL(options.URL)
	if err != nil {
		return nil, err
	}
	options.URL = base
	if options.Poll <= 0 {
		options.Poll = 30 * time.Second
	}
	if options.Timeout <= 0 {
		options.Timeout = 10 * time.Second
	}
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	if options.Headers == nil {
		options.Headers = func() (http.Header, error) { return nil, nil }
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	p := &Provider{
		options: options,
		bulk:    base + "/ofrep/v1/evaluate/flags",
		rounds:  newClient(options, roundConnections),
		calls:   newClient(options, callConnections),
		turn:    make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		events:  make(chan openfeature.Event, 2), // see emit
	}
	p.table.Store(new(contextTable))
	return p, nil
}

// baseURL returns a URL without the slash at its end. The guideline wants an
// invalid one to fail here. The error doesn't repeat it: it may hold a password.
func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("the flag server's URL is not one: write it like https://flags.example.org (flags.ofrep.url)")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("the flag server's URL begins with neither http:// nor https://: write it like https://flags.example.org (flags.ofrep.url)")
	case u.Hostname() == "":
		return "", errors.New("the flag server's URL names no host: write it like https://flags.example.org (flags.ofrep.url)")
	case u.User != nil:
		return "", errors.New("the flag server's URL has a user or password in it: take it out of flags.ofrep.url, and put a token into flags.ofrep.token-file")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the flag server's URL has a query or fragment: leave it out of flags.ofrep.url, and put a token into flags.ofrep.token-file")
	}
	base := strings.TrimRight(u.String(), "/")
	if strings.Contains(u.Path+"/", "/ofrep/v1/") {
		return "", fmt.Errorf("the flag server's URL %s goes on after its base: leave out /ofrep/v1 and what follows (flags.ofrep.url)", base)
	}
	return base, nil
}

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "ofrep"} }

// Hooks returns none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// BooleanEvaluation evaluates a flag whose values are booleans.
func (p *Provider) BooleanEvaluation(ctx context.Context, flag string, fallback bool, flat openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return resolve(p.evaluate(ctx, flag, flat), fallback, as[bool]("a boolean"))
}

// StringEvaluation evaluates a flag whose values are strings.
func (p *Provider) StringEvaluation(ctx context.Context, flag string, fallback string, flat openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return resolve(p.evaluate(ctx, flag, flat), fallback, as[string]("a string"))
}

// FloatEvaluation evaluates a flag whose values are numbers. A server may send
// 3.0 as 3, so integers are floats too, if a float64 holds them exactly.
func (p *Provider) FloatEvaluation(ctx context.Context, flag string, fallback float64, flat openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return resolve(p.evaluate(ctx, flag, flat), fallback, asFloat)
}

// IntEvaluation evaluates a flag whose values are integers: numbers without
// fraction and exponent, and within what JSON carries exactly.
func (p *Provider) IntEvaluation(ctx context.Context, flag string, fallback int64, flat openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return resolve(p.evaluate(ctx, flag, flat), fallback, asInteger)
}

// ObjectEvaluation evaluates a flag whose values are of any type, as go-sdk's
// own in-memory provider does: bool, string, int64, float64, map[string]any or
// []any, and the same within. Of kept contexts, objects and lists aren't held.
func (p *Provider) ObjectEvaluation(ctx context.Context, flag string, fallback any, flat openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return resolve(p.evaluate(ctx, flag, flat), fallback, asAny)
}

func (p *Provider) evaluate(ctx context.Context, flag string, flat openfeature.FlattenedContext) outcome {
	if fetched, ok := ctx.Value(prefetchKey{p}).(*prefetched); ok && sameContext(fetched.context, flat) {
		if found, ok := fetched.flags[flag]; ok {
			return found
		}
		return notFound
	}
	if table := p.table.Load(); table.keys.has(flag) {
		if kept := table.find(flat); kept != nil {
			return kept.outcome(flag)
		}
	}
	return p.call(ctx, flag, flat)
}

// Init starts the rounds, and waits for the first of them. An error means that
// it failed, and not that there won't be more.
func (p *Provider) Init(evaluationContext openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), evaluationContext)
}

// InitWithContext is Init. The end of its context ends the waiting only.
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	p.mu.Lock()
	if p.stop != nil {
		p.mu.Unlock()
		return p.Refresh(ctx)
	}
	running, cancel := context.WithCancel(context.Background())
	first, ended := make(chan error, 1), make(chan struct{})
	p.stop = func() {
		cancel()
		<-ended
	}
	p.mu.Unlock()

	go func() {
		defer close(ended)
		p.run(running, first)
	}()
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown ends the rounds and closes the connections. What is kept can still
// be evaluated.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext is Shutdown. It needs no context, as it never takes long.
func (p *Provider) ShutdownWithContext(context.Context) error {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
	p.rounds.CloseIdleConnections()
	p.calls.CloseIdleConnections()
	return nil
}

// EventChannel returns the channel of the provider's events. An event is a hint
// to evaluate everything anew: events that nobody takes are replaced by later
// ones.
//
//   - PROVIDER_CONFIGURATION_CHANGED after a round in which an answer for a
//     kept context differed.
//   - PROVIDER_ERROR when rounds fail before one has succeeded,
//     PROVIDER_STALE when they fail after that, and PROVIDER_READY when one
//     succeeds, the first or again.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// A Status says how the rounds go.
type Status struct {
	// LastSuccess is when all kept contexts were last answered in a round.
	// Zero: never.
	LastSuccess time.Time
	// Err is why the last round failed, and what to do about it; nil if it
	// did not. Since is when the first of those that failed in a row ended.
	Err   error
	Since time.Time
	// Answered says that each kept context has been answered at least
	// once, with all keys that are kept.
	Answered bool
}

// Status returns how the rounds go.
func (p *Provider) Status() Status {
	answered := p.table.Load().answered()
	p.mu.Lock()
	defer p.mu.Unlock()
	status := p.status
	status.Answered = answered
	return status
}
