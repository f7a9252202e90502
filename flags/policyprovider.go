package flags

import (
	"context"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/policy"
)

// PolicyProvider returns the flags: table of a policy as an OpenFeature
// provider. The attribute jurisdiction of the evaluation context says for
// whom: a country, a subdivision, unlocated or private; without it, unlocated.
func PolicyProvider(p *policy.Policy) openfeature.FeatureProvider {
	return &policyProvider{policy: func(context.Context) *policy.Policy { return p }}
}

// policyProvider is the table of the policy that the context of the call is about. It is
// used by its address: go-sdk compares providers to know whose events it gets,
// and functions are equal to nothing.
type policyProvider struct {
	policy func(context.Context) *policy.Policy
}

func (*policyProvider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "policy"} }
func (*policyProvider) Hooks() []openfeature.Hook      { return nil }

func (o *policyProvider) BooleanEvaluation(ctx context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return lookUp(o, ctx, flag, def, c)
}

func (o *policyProvider) StringEvaluation(ctx context.Context, flag string, def string, c openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return lookUp(o, ctx, flag, def, c)
}

func (o *policyProvider) FloatEvaluation(ctx context.Context, flag string, def float64, c openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return lookUp(o, ctx, flag, def, c)
}

func (o *policyProvider) IntEvaluation(ctx context.Context, flag string, def int64, c openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return lookUp(o, ctx, flag, def, c)
}

// ObjectEvaluation has nothing to find: the table has no structured values.
func (o *policyProvider) ObjectEvaluation(ctx context.Context, flag string, def any, c openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return lookUp(o, ctx, flag, def, c)
}

func lookUp[T any](o *policyProvider, ctx context.Context, flag string, def T, c openfeature.FlattenedContext) openfeature.GenericResolutionDetail[T] {
	failed := func(err openfeature.ResolutionError) openfeature.GenericResolutionDetail[T] {
		return openfeature.GenericResolutionDetail[T]{Value: def, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
			ResolutionError: err, Reason: openfeature.ErrorReason,
		}}
	}
	p := o.policy(ctx)
	if p == nil {
		return failed(openfeature.NewProviderNotReadyResolutionError("there is no policy yet"))
	}
	v, ok := p.Value(flag, policy.PlaceOf(jurisdictionOf(c["jurisdiction"])))
	if !ok {
		return failed(openfeature.NewFlagNotFoundResolutionError("the policy sets no flag " + flag))
	}
	value, ok := v.Any().(T)
	if _, object := any(&def).(*any); !ok || object {
		return failed(openfeature.NewTypeMismatchResolutionError("the policy has " + flag + " of type " + v.Kind().String()))
	}
	return openfeature.GenericResolutionDetail[T]{Value: value, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
		Reason: openfeature.StaticReason,
	}}
}
