package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/open-feature/go-sdk/openfeature"
)

// A contextTable holds what is kept. It is immutable but for the answers.
type contextTable struct {
	keys     *keySet
	contexts []*cachedContext
	found    map[string][]*cachedContext // by targeting key
}

// A keySet is distinguished by its address: an answer that was filtered for
// another set doesn't know all keys of this one.
type keySet struct{ of map[string]struct{} }

func (s *keySet) has(key string) bool {
	if s == nil {
		return false
	}
	_, ok := s.of[key]
	return ok
}

// A cachedContext is asked for in each round.
type cachedContext struct {
	flat   openfeature.FlattenedContext
	body   []byte                 // of the request
	answer atomic.Pointer[answer] // the last good one; nil: none yet
}

// An answer is what the server said about the kept keys. It is immutable.
type answer struct {
	keys  *keySet
	flags map[string]outcome
	etag  string
}

// Cache says for which contexts the flags with these keys are to be kept, in
// place of what was kept before. What is known of the same context stays. A
// context is the same if it has the same values of the same types. If rounds
// are running, the next one begins at once.
//
// It fails, and changes nothing, if JSON can't carry one of the contexts. None
// may be modified afterwards.
func (p *Provider) Cache(contexts []openfeature.FlattenedContext, keys []string) error {
	p.keeping.Lock()
	defer p.keeping.Unlock()
	before := p.table.Load()

	next := &contextTable{keys: &keySet{map[string]struct{}{}}, found: map[string][]*cachedContext{}}
	for _, key := range keys {
		next.keys.of[key] = struct{}{}
	}
	if before.keys != nil && maps.Equal(before.keys.of, next.keys.of) {
		next.keys = before.keys
	}
	for i, flat := range contexts {
		if next.find(flat) != nil {
			continue
		}
		kept := before.find(flat)
		if kept == nil {
			body, err := requestBody(flat)
			if err != nil {
				return fmt.Errorf("of the contexts to keep, number %d of %d can't be sent as JSON: use booleans, strings and finite numbers", i+1, len(contexts))
			}
			kept = &cachedContext{flat: maps.Clone(flat), body: body}
		}
		next.contexts = append(next.contexts, kept)
		key := targetingKey(flat)
		next.found[key] = append(next.found[key], kept)
	}
	p.table.Store(next)

	select {
	case p.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
	return nil
}

// requestBody returns bulkEvaluationRequest or evaluationRequest. OFREP 0.3
// requires the context in it, be it empty.
func requestBody(flat openfeature.FlattenedContext) ([]byte, error) {
	if flat == nil {
		flat = openfeature.FlattenedContext{}
	}
	return json.Marshal(struct {
		Context openfeature.FlattenedContext `json:"context"`
	}{flat})
}

func (t *contextTable) find(flat openfeature.FlattenedContext) *cachedContext {
	for _, kept := range t.found[targetingKey(flat)] {
		if sameContext(kept.flat, flat) {
			return kept
		}
	}
	return nil
}

func (t *contextTable) answered() bool {
	return !slices.ContainsFunc(t.contexts, func(kept *cachedContext) bool {
		known := kept.answer.Load()
		return known == nil || known.keys != t.keys
	})
}

func (c *cachedContext) outcome(key string) outcome {
	known := c.answer.Load()
	if known == nil {
		return notAnswered
	}
	if found, ok := known.flags[key]; ok {
		return found
	}
	if !known.keys.has(key) {
		return notAnswered // the key is kept only since then
	}
	return notFound
}

// targetingKey returns the attribute by which nearly all contexts differ, "" if a
// context has none.
func targetingKey(flat openfeature.FlattenedContext) string {
	key, _ := flat[openfeature.TargetingKey].(string)
	return key
}

func sameContext(a, b openfeature.FlattenedContext) bool {
	return maps.EqualFunc(a, b, sameValue)
}

func sameValue(a, b any) bool {
	if a, ok := a.(string); ok {
		b, ok := b.(string)
		return ok && a == b
	}
	return reflect.DeepEqual(a, b)
}
