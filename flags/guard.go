package flags

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/policy"
)

// A Guard lets no value of a flag pass that is below its guarantee. It is safe
// for concurrent use.
//
// Wrapped around a provider, it answers such an evaluation with the error
// GENERAL; as a hook it makes the evaluation fail after the provider has
// answered. Either way the caller's default value comes back, as OpenFeature
// has it: a default below the guarantee is reported, but can't be taken away.
type Guard struct {
	guarantee func(flag string) (policy.Guarantee, bool)
	onBreach  func(*Breach)
}

// A Breach is the error for a value below its guarantee.
type Breach struct {
	Flag      string
	Guarantee policy.Guarantee
	// Value is what the flag would have been.
	Value policy.Value
	// Jurisdiction is the attribute of this name in the evaluation context,
	// "" if there was none.
	Jurisdiction policy.Code
	// Default says that it is not the provider's value, but the default in
	// the caller's code.
	Default bool
}

// Error says what was kept from whom. It doesn't say the value: the error goes
// to the app, which must not have it.
func (b *Breach) Error() string {
	what := "the value"
	if b.Default {
		what = "the default in the code"
	}
	where := ""
	if b.Jurisdiction != "" {
		where = " in " + string(b.Jurisdiction)
	}
	return fmt.Sprintf("%s of %s%s is below what is guaranteed (%s), and is withheld", what, b.Flag, where, b.Guarantee)
}

// NewGuard makes a Guard. onBreach is called for each evaluation that would
// have been below a guarantee, from the goroutine that evaluates; nil is
// nobody.
func NewGuard(guarantees map[string]policy.Guarantee, onBreach func(*Breach)) *Guard {
	return newGuard(func(flag string) (policy.Guarantee, bool) {
		g, guaranteed := guarantees[flag]
		return g, guaranteed
	}, onBreach)
}

// GuardOf makes the Guard of a policy's guarantees.
func GuardOf(p *policy.Policy, onBreach func(*Breach)) *Guard {
	return newGuard(func(flag string) (policy.Guarantee, bool) {
		f, _ := p.Flag(flag)
		if f.Guarantee == nil {
			return policy.Guarantee{}, false
		}
		return *f.Guarantee, true
	}, onBreach)
}

func newGuard(guarantee func(flag string) (policy.Guarantee, bool), onBreach func(*Breach)) *Guard {
	if onBreach == nil {
		onBreach = func(*Breach) {}
	}
	return &Guard{guarantee, onBreach}
}

// Allows reports whether a value may be passed on. It tells nobody if not.
func (g *Guard) Allows(flag string, value policy.Value) bool {
	guarantee, guaranteed := g.guarantee(flag)
	return !guaranteed || guarantee.Allows(value)
}

// Check returns a *Breach if a value may not be passed on, and calls onBreach.
// A guaranteed flag has no structured values: they can't be compared.
func (g *Guard) Check(flag string, value any, jurisdiction policy.Code) error {
	return g.check(flag, value, jurisdiction, false)
}

func (g *Guard) check(flag string, value any, jurisdiction policy.Code, isDefault bool) error {
	guarantee, guaranteed := g.guarantee(flag)
	if !guaranteed {
		return nil
	}
	v, _ := policy.ValueOf(value)
	if guarantee.Allows(v) {
		return nil
	}
	breach := &Breach{Flag: flag, Guarantee: guarantee, Value: v, Jurisdiction: jurisdiction, Default: isDefault}
	g.onBreach(breach)
	return breach
}

// jurisdictionOf returns the attribute of an evaluation context.
func jurisdictionOf(attribute any) policy.Code {
	code, _ := attribute.(string)
	return policy.Code(code)
}

// Hook returns the Guard as a hook, for a client, an API or one evaluation.
func (g *Guard) Hook() openfeature.Hook { return hook{guard: g} }

type hook struct {
	openfeature.UnimplementedHook
	guard *Guard
}

// After fails the evaluation of a value below its guarantee.
func (h hook) After(_ context.Context, c openfeature.HookContext, details openfeature.InterfaceEvaluationDetails, _ openfeature.HookHints) error {
	return h.guard.Check(details.FlagKey, details.Value, jurisdictionOf(c.EvaluationContext().Attribute("jurisdiction")))
}

// Error reports a default below the guarantee, which is what the caller gets
// now.
func (h hook) Error(_ context.Context, c openfeature.HookContext, _ error, _ openfeature.HookHints) {
	_ = h.guard.check(c.FlagKey(), c.DefaultValue(), jurisdictionOf(c.EvaluationContext().Attribute("jurisdiction")), true)
}

// Provider returns a provider that answers as the given one does, except that
// it keeps values below a guarantee to itself. What the given one does at
// start and shutdown, its events and what it tracks pass through.
func (g *Guard) Provider(p openfeature.FeatureProvider) openfeature.FeatureProvider {
	guarded := guardedProvider{FeatureProvider: p, guard: g}
	// By their addresses: go-sdk compares providers to know whose events it
	// gets, and not all that may be within can be compared.
	_, states := p.(openfeature.StateHandler)
	_, events := p.(openfeature.EventHandler)
	switch {
	case states && events:
		return &struct {
			guardedProvider
			lifecycle
			openfeature.EventHandler
		}{guarded, lifecycle{p.(openfeature.StateHandler)}, p.(openfeature.EventHandler)}
	case states:
		return &struct {
			guardedProvider
			lifecycle
		}{guarded, lifecycle{p.(openfeature.StateHandler)}}
	case events:
		return &struct {
			guardedProvider
			openfeature.EventHandler
		}{guarded, p.(openfeature.EventHandler)}
	}
	return &guarded
}

// A lifecycle passes start and shutdown on, with the context where the provider
// takes one.
type lifecycle struct{ openfeature.StateHandler }

func (l lifecycle) InitWithContext(ctx context.Context, c openfeature.EvaluationContext) error {
	if p, ok := l.StateHandler.(openfeature.ContextAwareStateHandler); ok {
		return p.InitWithContext(ctx, c)
	}
	return l.Init(c)
}

func (l lifecycle) ShutdownWithContext(ctx context.Context) error {
	if p, ok := l.StateHandler.(openfeature.ContextAwareStateHandler); ok {
		return p.ShutdownWithContext(ctx)
	}
	l.Shutdown()
	return nil
}

type guardedProvider struct {
	openfeature.FeatureProvider
	guard *Guard
}

func (p guardedProvider) BooleanEvaluation(ctx context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return guarded(p.guard, flag, def, c, p.FeatureProvider.BooleanEvaluation(ctx, flag, def, c))
}

func (p guardedProvider) StringEvaluation(ctx context.Context, flag string, def string, c openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return guarded(p.guard, flag, def, c, p.FeatureProvider.StringEvaluation(ctx, flag, def, c))
}

func (p guardedProvider) FloatEvaluation(ctx context.Context, flag string, def float64, c openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return guarded(p.guard, flag, def, c, p.FeatureProvider.FloatEvaluation(ctx, flag, def, c))
}

func (p guardedProvider) IntEvaluation(ctx context.Context, flag string, def int64, c openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return guarded(p.guard, flag, def, c, p.FeatureProvider.IntEvaluation(ctx, flag, def, c))
}

func (p guardedProvider) ObjectEvaluation(ctx context.Context, flag string, def any, c openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return guarded(p.guard, flag, def, c, p.FeatureProvider.ObjectEvaluation(ctx, flag, def, c))
}

// Track passes on what the app tells of its users, if the provider wants it.
func (p guardedProvider) Track(ctx context.Context, event string, c openfeature.EvaluationContext, details openfeature.TrackingEventDetails) {
	if tracker, ok := p.FeatureProvider.(openfeature.Tracker); ok {
		tracker.Track(ctx, event, c, details)
	}
}

// guarded returns what a provider has answered, or the default with an error in
// its place.
func guarded[T any](g *Guard, flag string, def T, c openfeature.FlattenedContext, d openfeature.GenericResolutionDetail[T]) openfeature.GenericResolutionDetail[T] {
	jurisdiction := jurisdictionOf(c["jurisdiction"])
	if d.Error() != nil {
		_ = g.check(flag, def, jurisdiction, true)
		return d
	}
	if err := g.Check(flag, d.Value, jurisdiction); err != nil {
		_ = g.check(flag, def, jurisdiction, true)
		return openfeature.GenericResolutionDetail[T]{
			Value: def,
			ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
				ResolutionError: openfeature.NewGeneralResolutionError(err.Error(), err),
				Reason:          openfeature.ErrorReason,
			},
		}
	}
	return d
}
