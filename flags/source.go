package flags

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/multi"

	"github.com/exitgate/exitgate/policy"
)

// A source evaluates flags by OpenFeature: the first provider that has a flag
// answers, the policy's own table last.
type source struct {
	api    *openfeature.EvaluationAPI
	client *openfeature.Client
	remote []openfeature.FeatureProvider // all but the policy's table
	first  openfeature.FeatureProvider   // the first of all that has a flag
	hints  chan struct{}                 // something may have changed
}

// startTimeout is how long providers are waited for. Those that take longer are
// asked when they say that they are ready.
const startTimeout = 3 * time.Second

func newSource(providers []openfeature.FeatureProvider) (*source, error) {
	s := &source{api: isolated.NewAPI(), remote: providers, hints: make(chan struct{}, 1)}
	s.client = s.api.NewClient()
	hint := func(openfeature.EventDetails) { s.hint() }
	for _, event := range []openfeature.EventType{openfeature.ProviderReady, openfeature.ProviderConfigChange, openfeature.ProviderStale, openfeature.ProviderError} {
		s.api.AddHandler(event, &hint)
	}

	table := &policyProvider{policyIn}
	if len(providers) == 0 {
		s.first = table
		return s, nil
	}
	// The log of what puts them together would repeat what providers say.
	options := []multi.Option{multi.WithLogger(slog.New(slog.DiscardHandler))}
	names := make(map[string]bool)
	for _, p := range providers {
		name := p.Metadata().Name
		if name == "" || name == table.Metadata().Name || names[name] {
			return nil, fmt.Errorf("flags: each provider needs a name of its own, other than %s: one has %q", table.Metadata().Name, name)
		}
		names[name] = true
		options = append(options, multi.WithProvider(name, p))
	}
	first, err := multi.NewProvider(multi.StrategyFirstMatch, append(options, multi.WithProvider(table.Metadata().Name, table))...)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	s.first = first
	return s, nil
}

// hint says that all is to be evaluated again. Events can get lost, and come
// in any order: what they say doesn't count.
func (s *source) hint() {
	select {
	case s.hints <- struct{}{}:
	default:
	}
}

// start binds the providers, and waits for them for a while.
func (s *source) start() {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	go func() {
		defer cancel()
		_ = s.api.SetProviderAndWait(ctx, s.first) // an error is one that evaluations show
		s.hint()
	}()
	<-ctx.Done()
}

func (s *source) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_ = s.api.Shutdown(ctx) // nothing is left to do about it
}

// policyKey is where the context of a call holds the policy that it is about:
// one that is to be taken into use is evaluated before it is.
type policyKey struct{}

func withPolicy(ctx context.Context, p *policy.Policy) context.Context {
	return context.WithValue(ctx, policyKey{}, p)
}

func policyIn(ctx context.Context) *policy.Policy {
	p, _ := ctx.Value(policyKey{}).(*policy.Policy)
	return p
}

// An evaluation is what the evaluation of a flag came to: a value, or why there is
// none.
type evaluation struct {
	value   any
	details openfeature.EvaluationDetails
	err     error
}

// notFound says that no provider has the flag.
func (a evaluation) notFound() bool {
	return a.err != nil && a.details.ErrorCode == openfeature.FlagNotFoundCode
}

// isStatic says that the value is the same for all users.
func (a evaluation) isStatic() bool { return a.details.Reason == openfeature.StaticReason }

var errDefault = errors.New("the source left the value to a default: is the flag disabled there?")

// evaluate evaluates a flag of a kind. It accepts only what a provider has said for
// sure: with none bound, during a change of providers, or for a flag that is
// disabled, OpenFeature returns the caller's default as if it were the value.
func (s *source) evaluate(ctx context.Context, name string, kind policy.Kind, c openfeature.EvaluationContext) evaluation {
	var a evaluation
	def := defaultFor(kind)
	switch def := def.(type) {
	case bool:
		a = evaluationOf(s.client.BooleanValueDetails(ctx, name, def, c))
		if a.err == nil && a.value == def {
			// Only another default can show whether it is one.
			if a = evaluationOf(s.client.BooleanValueDetails(ctx, name, !def, c)); a.err == nil && a.value != def {
				a.err = errDefault
			}
		}
	case int64:
		a = evaluationOf(s.client.IntValueDetails(ctx, name, def, c))
	case float64:
		a = evaluationOf(s.client.FloatValueDetails(ctx, name, def, c))
	case string:
		a = evaluationOf(s.client.StringValueDetails(ctx, name, def, c))
	}
	return checkAnswer(a, kind != policy.Boolean && a.value == def)
}

// evaluateAny evaluates a flag of any kind.
func (s *source) evaluateAny(ctx context.Context, name string, c openfeature.EvaluationContext) evaluation {
	type none struct{}
	a := evaluationOf(s.client.ObjectValueDetails(ctx, name, none{}, c))
	_, isDefault := a.value.(none)
	if a = checkAnswer(a, isDefault); a.details.ErrorCode != openfeature.TypeMismatchCode {
		return a
	}
	for kind := policy.Boolean; kind <= policy.String; kind++ {
		if a = s.evaluate(ctx, name, kind, c); a.details.ErrorCode != openfeature.TypeMismatchCode {
			return a
		}
	}
	return a
}

func evaluationOf[T any](d openfeature.GenericEvaluationDetails[T], err error) evaluation {
	return evaluation{d.Value, d.EvaluationDetails, err}
}

// checkAnswer makes an error of an answer that is none.
func checkAnswer(a evaluation, isDefault bool) evaluation {
	f, float := a.value.(float64)
	switch {
	case a.err != nil && a.details.ErrorMessage != "":
		a.err = errors.New(truncate(a.details.ErrorMessage)) // without go-sdk's prefixes
	case a.err != nil && a.details.ErrorCode != "":
		a.err = fmt.Errorf("the source answered with the error %s", a.details.ErrorCode)
	case a.err != nil:
	case isDefault:
		a.err = errDefault
	case a.details.Reason == openfeature.ErrorReason || a.details.Reason == openfeature.DisabledReason:
		a.err = fmt.Errorf("the source answered with the reason %s", a.details.Reason)
	case float && (math.IsNaN(f) || math.IsInf(f, 0)):
		a.err = fmt.Errorf("%v is no value of a flag", f)
	}
	return a
}

// truncate bounds what a provider says in its own words: it gets into the log.
func truncate(text string) string {
	const most = 300
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

// defaultFor returns a default to ask with: one that no flag has, except that
// there is no such boolean.
func defaultFor(kind policy.Kind) any {
	switch kind {
	case policy.Boolean:
		return false
	case policy.Integer:
		return int64(math.MinInt64)
	case policy.Float:
		return -math.MaxFloat64
	}
	return "\x00 no value"
}
