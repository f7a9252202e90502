package flags

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags/ofrep"
	"github.com/exitgate/exitgate/policy"
)

// A prefetcher is a provider that can fetch all flags for a context at once,
// for the evaluations that follow under the context it returns.
type prefetcher interface {
	Prefetch(ctx context.Context, c openfeature.FlattenedContext) (context.Context, []string, error)
}

// staleReason is the reason for a value that was known before: the source can't be
// asked now. OpenFeature has it among its reasons (types, "Resolution reason"),
// go-sdk only among its states.
const staleReason = openfeature.Reason(openfeature.StaleState)

// Answer evaluates one flag for an app, for any context: of a user, say. The
// guard stands before every answer. Where the source can't answer, what is
// known of the flag in the context's jurisdiction is the answer.
func (t *Table) Answer(ctx context.Context, p *policy.Policy, name string, c map[string]any) ofrep.Evaluation {
	if name == policy.PhaseFlag {
		return errorEvaluation(name, openfeature.FlagNotFoundCode, errPhaseFlag)
	}
	ctx = withPolicy(ctx, p)
	flag, named := p.Flag(name)
	var a evaluation
	if named {
		a = t.source.evaluate(ctx, name, flag.Kind, contextOf(c))
	} else {
		a = t.source.evaluateAny(ctx, name, contextOf(c))
	}
	guard, jurisdiction := GuardOf(p, t.reportBreach), jurisdictionOf(c["jurisdiction"])
	switch {
	case a.err == nil:
		if err := guard.Check(name, a.value, placeOnly(jurisdiction)); err != nil {
			return errorEvaluation(name, openfeature.GeneralCode, err)
		}
		return a.toOFREP(name)
	case a.details.ErrorCode == openfeature.InvalidContextCode || a.details.ErrorCode == openfeature.TargetingKeyMissingCode:
		return errorEvaluation(name, a.details.ErrorCode, a.err) // the asker's fault
	}
	if v, ok := t.Known().In(jurisdiction).Values[name].As(flag.Kind); ok && named && guard.Allows(name, v) {
		return evaluation{value: v.Any(), details: openfeature.EvaluationDetails{ResolutionDetail: openfeature.ResolutionDetail{Reason: staleReason}}}.toOFREP(name)
	}
	return errorEvaluation(name, cmp.Or(a.details.ErrorCode, openfeature.GeneralCode), a.err)
}

// errPhaseFlag keeps what is the gateway's own business from apps.
var errPhaseFlag = errors.New(policy.PhaseFlag + " is no flag for apps: the field Market-Phase tells them")

// AnswerAll evaluates all flags for an app: those that the policy names, and
// those that a source lists for the context.
func (t *Table) AnswerAll(ctx context.Context, p *policy.Policy, c map[string]any) ([]ofrep.Evaluation, error) {
	names := make(map[string]bool)
	for _, f := range p.Flags() {
		names[f.Name] = true
	}
	for _, provider := range t.source.remote {
		fetch, ok := provider.(prefetcher)
		if !ok {
			continue
		}
		fetched, keys, err := fetch.Prefetch(ctx, c)
		if err != nil {
			continue // each flag says so by itself, or is known
		}
		ctx = fetched
		for _, key := range keys {
			names[key] = true
		}
	}
	all := []ofrep.Evaluation{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if e := t.Answer(ctx, p, name, c); e.ErrorCode != string(openfeature.FlagNotFoundCode) {
			all = append(all, e)
		}
	}
	return all, nil
}

// An alertKey is a flag that users of a jurisdiction would have got below its
// guarantee.
type alertKey struct {
	jurisdiction policy.Code
	flag         string
}

// alertInterval is how often the log repeats what users would have got. The metric
// counts each time.
const alertInterval = 10 * time.Minute

// reportBreach raises the alarm for a value that an app would have got for a
// user.
func (t *Table) reportBreach(b *Breach) {
	t.onBreach(Unacknowledged{Jurisdiction: b.Jurisdiction, Flag: b.Flag})
	about, now := alertKey{b.Jurisdiction, b.Flag}, t.now()
	if last, ok := t.alerted.Load(about); !ok || now.Sub(last.(time.Time)) >= alertInterval {
		t.alerted.Store(about, now)
		t.log.Error("a flag would have been below its guarantee for a user: the app got an error in its place", "jurisdiction", b.Jurisdiction, "flag", b.Flag, "guarantee", b.Guarantee.String())
	}
}

// placeOnly returns a code if it is that of a place, else "". The rest of a
// context doesn't get into the log: it may say who a user is.
func placeOnly(code policy.Code) policy.Code {
	if policy.PlaceOf(code).Jurisdiction() != code {
		return ""
	}
	return code
}

// contextOf returns an OFREP context as go-sdk takes it.
func contextOf(c map[string]any) openfeature.EvaluationContext {
	key, _ := c[openfeature.TargetingKey].(string)
	attributes := maps.Clone(c)
	delete(attributes, openfeature.TargetingKey)
	return openfeature.NewEvaluationContext(key, attributes)
}

func (a evaluation) toOFREP(name string) ofrep.Evaluation {
	value, err := json.Marshal(a.value)
	if err != nil {
		return errorEvaluation(name, openfeature.GeneralCode, errors.New("its value can't be written as JSON"))
	}
	metadata := maps.Clone(a.details.FlagMetadata)
	maps.DeleteFunc(metadata, func(key string, _ any) bool { return strings.HasPrefix(key, "multiprovider-") }) // of our own making
	return ofrep.Evaluation{Key: name, Value: value, Reason: string(a.details.Reason), Variant: a.details.Variant, Metadata: metadata}
}

func errorEvaluation(name string, code openfeature.ErrorCode, err error) ofrep.Evaluation {
	return ofrep.Evaluation{Key: name, ErrorCode: string(code), ErrorDetails: err.Error()}
}
