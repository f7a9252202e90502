package main

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/open-feature/go-sdk/openfeature"
)

// A provider evaluates flags by LaunchDarkly's SDK. A value is what LaunchDarkly
// has said for sure; whatever else comes of an evaluation is an error, so that
// nobody takes a default for a value.
type provider struct {
	client *ld.LDClient
	events chan openfeature.Event
}

func newProvider(client *ld.LDClient) *provider {
	p := &provider{client, make(chan openfeature.Event, 16)}
	// Both channels are closed with the client.
	changes := client.GetFlagTracker().AddFlagChangeListener()
	states := client.GetDataSourceStatusProvider().AddStatusListener()
	go func() {
		for change := range changes {
			p.emit(openfeature.ProviderConfigChange, openfeature.ProviderEventDetails{FlagChanges: []string{change.Key}})
		}
	}()
	go func() {
		for status := range states {
			switch status.State {
			case interfaces.DataSourceStateValid:
				p.emit(openfeature.ProviderReady, openfeature.ProviderEventDetails{})
			case interfaces.DataSourceStateInterrupted:
				p.emit(openfeature.ProviderStale, openfeature.ProviderEventDetails{Message: "the last flags stay in use: " + status.LastError.String()})
			case interfaces.DataSourceStateOff:
				p.emit(openfeature.ProviderError, openfeature.ProviderEventDetails{Message: "there will be no more flags: " + status.LastError.String()})
			}
		}
	}()
	return p
}

// emit never waits, or the SDK would. Where nobody takes the events, the oldest
// gives way: each of them means that all is to be evaluated again.
func (p *provider) emit(kind openfeature.EventType, details openfeature.ProviderEventDetails) {
	event := openfeature.Event{ProviderName: p.Metadata().Name, EventType: kind, ProviderEventDetails: details}
	for {
		select {
		case p.events <- event:
			return
		default:
		}
		select {
		case <-p.events:
		default:
		}
	}
}

func (p *provider) EventChannel() <-chan openfeature.Event { return p.events }

// Init waits for the first flags. An error isn't the end: when they come after
// all, there is an event.
func (p *provider) Init(openfeature.EvaluationContext) error {
	const patience = 5 * time.Second
	if !p.client.GetDataSourceStatusProvider().WaitFor(interfaces.DataSourceStateValid, patience) {
		return errors.New("there are no flags from LaunchDarkly yet: the log says why")
	}
	return nil
}

func (p *provider) Shutdown() { _ = p.client.Close() }

func (p *provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "launchdarkly"} }
func (p *provider) Hooks() []openfeature.Hook      { return nil }

func (p *provider) BooleanEvaluation(ctx context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return resolve(ctx, p, flag, def, c, func(v ldvalue.Value) (bool, bool) { return v.BoolValue(), v.IsBool() })
}

func (p *provider) StringEvaluation(ctx context.Context, flag string, def string, c openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return resolve(ctx, p, flag, def, c, func(v ldvalue.Value) (string, bool) { return v.StringValue(), v.IsString() })
}

func (p *provider) FloatEvaluation(ctx context.Context, flag string, def float64, c openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return resolve(ctx, p, flag, def, c, func(v ldvalue.Value) (float64, bool) { return v.Float64Value(), v.IsNumber() })
}

// IntEvaluation doesn't take the SDK's word for what an integer is: it would
// cut 1.5 down to 1.
func (p *provider) IntEvaluation(ctx context.Context, flag string, def int64, c openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return resolve(ctx, p, flag, def, c, func(v ldvalue.Value) (int64, bool) {
		f := v.Float64Value()
		return int64(f), v.IsNumber() && f == math.Trunc(f) && math.Abs(f) < 1<<53
	})
}

func (p *provider) ObjectEvaluation(ctx context.Context, flag string, def any, c openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return resolve(ctx, p, flag, def, c, func(v ldvalue.Value) (any, bool) { return v.AsArbitraryValue(), !v.IsNull() })
}

// resolve evaluates a flag in a context, and takes it as a value of one type.
func resolve[T any](ctx context.Context, p *provider, flag string, def T, c openfeature.FlattenedContext, as func(ldvalue.Value) (T, bool)) openfeature.GenericResolutionDetail[T] {
	failed := func(err openfeature.ResolutionError) openfeature.GenericResolutionDetail[T] {
		return openfeature.GenericResolutionDetail[T]{Value: def, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
			ResolutionError: err, Reason: openfeature.ErrorReason,
		}}
	}
	if key, _ := c[openfeature.TargetingKey].(string); key == "" {
		return failed(openfeature.NewTargetingKeyMissingResolutionError("LaunchDarkly's contexts need a key"))
	}
	// The error is in the details, too. Asked for JSON, the SDK leaves the
	// type of the value as it is.
	found, details, _ := p.client.JSONVariationDetailCtx(ctx, flag, contextOf(c), ldvalue.Null())
	switch {
	case details.Reason.GetKind() == ldreason.EvalReasonError:
		return failed(errorOf(details.Reason.GetErrorKind(), flag))
	case details.IsDefaultValue():
		return failed(openfeature.NewGeneralResolutionError(flag + " is turned off in LaunchDarkly, and has no variation for that"))
	}
	value, ok := as(found)
	if !ok {
		return failed(openfeature.NewTypeMismatchResolutionError(flag + " is of another type in LaunchDarkly"))
	}
	return openfeature.GenericResolutionDetail[T]{Value: value, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
		Reason:  reasonOf(details.Reason.GetKind()),
		Variant: strconv.Itoa(details.VariationIndex.IntValue()),
	}}
}

// contextOf returns LaunchDarkly's context for one of OpenFeature. It has two
// kinds: a user with all attributes, who may be one of the gateway's probes, so
// that a rollout by percentage shows; and the jurisdiction, for rules that
// speak of places and should hold for all users alike.
func contextOf(c openfeature.FlattenedContext) ldcontext.Context {
	user := ldcontext.NewBuilder("")
	for name, value := range c {
		user.SetValue(name, ldvalue.CopyArbitraryValue(value))
	}
	key, _ := c[openfeature.TargetingKey].(string)
	user.Kind("user").Key(key) // after attributes that may have these names
	code, _ := c["jurisdiction"].(string)
	if code == "" {
		return user.Build()
	}
	jurisdiction := ldcontext.NewBuilder(code).Kind("jurisdiction")
	for _, name := range []string{"country", "groups"} {
		jurisdiction.SetValue(name, ldvalue.CopyArbitraryValue(c[name]))
	}
	return ldcontext.NewMulti(user.Build(), jurisdiction.Build())
}

// reasonOf returns OpenFeature's word for a reason. None becomes STATIC, as
// LaunchDarkly doesn't tell whether a percentage was at work.
func reasonOf(kind ldreason.EvalReasonKind) openfeature.Reason {
	switch kind {
	case ldreason.EvalReasonOff, ldreason.EvalReasonPrerequisiteFailed:
		return openfeature.DisabledReason
	case ldreason.EvalReasonTargetMatch, ldreason.EvalReasonRuleMatch:
		return openfeature.TargetingMatchReason
	case ldreason.EvalReasonFallthrough:
		return openfeature.DefaultReason
	}
	return openfeature.UnknownReason
}

// errorOf returns OpenFeature's word for an error. Only a flag that isn't there
// may be FLAG_NOT_FOUND: then the next provider is asked.
func errorOf(kind ldreason.EvalErrorKind, flag string) openfeature.ResolutionError {
	switch kind {
	case ldreason.EvalErrorClientNotReady:
		return openfeature.NewProviderNotReadyResolutionError("there are no flags from LaunchDarkly yet: the log says why")
	case ldreason.EvalErrorFlagNotFound:
		return openfeature.NewFlagNotFoundResolutionError("LaunchDarkly has no flag " + flag)
	case ldreason.EvalErrorMalformedFlag:
		return openfeature.NewParseErrorResolutionError(flag + " contradicts itself in LaunchDarkly: the log says how")
	case ldreason.EvalErrorUserNotSpecified:
		return openfeature.NewInvalidContextResolutionError("the evaluation context is none for LaunchDarkly")
	}
	return openfeature.NewGeneralResolutionError("LaunchDarkly's SDK failed: " + string(kind))
}
