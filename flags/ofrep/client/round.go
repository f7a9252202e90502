package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

const (
	// maxFaults is after how many unusable answers a round gives up, if
	// there was no usable one among them.
	maxFaults = 16
	// After a round in which nothing was answered, the next one begins after
	// firstRetry at most, and each time that happens again the bound doubles
	// up to lastRetry or ten polls.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// run makes a round at once, and then whenever it is time or what is kept
// changes, until the context ends.
func (p *Provider) run(ctx context.Context, first chan<- error) {
	select {
	case <-p.wake: // what is kept by now is in the first round
	default:
	}
	first <- p.Refresh(ctx)
	for {
		timer := time.NewTimer(p.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.wake:
			timer.Stop()
		case <-timer.C:
		}
		_ = p.Refresh(ctx) // it is in the status
	}
}

// pause returns how long to wait for the next round: a poll, give or take a
// tenth, and exponential backoff with full jitter while nothing is answered.
// Each of the rounds that fail costs the server one request.
func (p *Provider) pause() time.Duration {
	p.mu.Lock()
	failures := p.failures
	p.mu.Unlock()
	pause := p.options.Poll*9/10 + rand.N(p.options.Poll/5+1)
	if failures > 0 {
		most := min(10*p.options.Poll, lastRetry)
		if doubled := firstRetry << min(failures-1, 20); doubled < most {
			most = doubled
		}
		pause = most/10 + rand.N(most*9/10+1)
	}
	return max(pause, p.holdLeft())
}

// holdLeft returns for how long the server wants no request. What is longer than
// it can have asked for is not: the clock was set back since.
func (p *Provider) holdLeft() time.Duration {
	if left := time.Unix(0, p.hold.Load()).Sub(p.options.Now()); left <= maxBackOff {
		return left
	}
	return 0
}

// Refresh makes a round and waits for it: all kept contexts are asked for,
// each on the condition that its answer has changed. It returns why the round
// failed. The end of the context ends the round and is no failure.
//
// A round ends at the first fault that is the server's and not a context's.
// The first request goes alone, so that a server that is down costs just that.
func (p *Provider) Refresh(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r := round{p: p, table: p.table.Load(), read: map[[sha256.Size]byte]map[string]outcome{}}
	if len(r.table.contexts) == 0 {
		return nil
	}
	r.ask(ctx, 0)
	var workers sync.WaitGroup
	for range min(roundConnections, len(r.table.contexts)-1) {
		workers.Go(func() {
			for {
				i, ok := r.next()
				if !ok || ctx.Err() != nil {
					return
				}
				r.ask(ctx, i)
			}
		})
	}
	workers.Wait()

	// Contexts for which the server always breaks down come last the next
	// time, so that they don't keep the others from being asked for.
	p.begin = (p.begin + r.broke) % len(r.table.contexts)
	err := r.err()
	if ctx.Err() != nil && !r.complete() {
		err = ctx.Err()
	} else {
		p.finishRound(err, r.answered > 0)
	}
	if r.changed {
		p.emit(openfeature.ProviderConfigChange, "flags have changed")
	}
	return err
}

// A round is one pass over what is kept.
type round struct {
	p     *Provider
	table *contextTable

	mu       sync.Mutex
	read     map[[sha256.Size]byte]map[string]outcome
	asked    int   // contexts after the first
	answered int   // contexts
	faulty   int   // contexts with answers that can't be used
	faultOf  error // the first of them
	down     error // what ended the round
	broke    int   // behind the context that ended it
	changed  bool
}

// next returns the number of the next context to ask for.
func (r *round) next() (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil || r.asked == len(r.table.contexts)-1 {
		return 0, false
	}
	if r.faulty >= maxFaults && r.answered == 0 {
		r.broke = r.asked + 1
		return 0, false
	}
	r.asked++
	return r.asked, true
}

func (r *round) complete() bool { return r.answered+r.faulty == len(r.table.contexts) }

func (r *round) err() error {
	switch {
	case r.down != nil:
		return r.down
	case r.faulty > 0:
		return fmt.Errorf("%d of %d contexts have no usable answer: %w", r.faulty, len(r.table.contexts), r.faultOf)
	}
	return nil
}

// ask asks for one context, counted from where the round begins.
func (r *round) ask(ctx context.Context, i int) {
	kept := r.table.contexts[(r.p.begin+i)%len(r.table.contexts)]
	before := kept.answer.Load()
	now, err := r.answer(ctx, kept, before)

	r.mu.Lock()
	defer r.mu.Unlock()
	f, isFault := errors.AsType[*serverError](err)
	switch {
	case err == nil:
		r.answered++
		if now != before {
			kept.answer.Store(now)
			r.changed = r.changed || !now.same(before)
		}
	case isFault && f.ofContext:
		r.faulty++
		if r.faultOf == nil {
			r.faultOf = err
		}
	case isFault && r.down == nil:
		r.down, r.broke = err, i+1
	}
}

// answer returns the answer for a context, which is the one before if nothing
// has changed (openapi.yaml: If-None-Match, ETag and 304).
func (r *round) answer(ctx context.Context, kept *cachedContext, before *answer) (*answer, error) {
	etag := ""
	if before != nil && before.keys == r.table.keys {
		etag = before.etag
	}
	reply, err := r.p.post(ctx, r.p.rounds, r.p.bulk, kept.body, etag)
	if err != nil {
		return nil, err
	}
	switch reply.status {
	case http.StatusOK:
		flags, err := r.flags(reply.body)
		if err != nil {
			return nil, r.p.badAnswerError(err)
		}
		if len(reply.etag) > maxWord {
			reply.etag = ""
		}
		return &answer{keys: r.table.keys, flags: flags, etag: reply.etag}, nil
	case http.StatusNotModified:
		return before, nil
	default:
		return nil, r.p.evaluationError(reply)
	}
}

// flags reads a body. Most jurisdictions have the same flags, and so the same
// body is read, and its flags are held, only once.
func (r *round) flags(body []byte) (map[string]outcome, error) {
	sum := sha256.Sum256(body)
	r.mu.Lock()
	flags, found := r.read[sum]
	r.mu.Unlock()
	if found {
		return flags, nil
	}
	flags, _, err := readBulk(body, r.table.keys)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read[sum] = flags
	return flags, nil
}

// same reports whether two answers evaluate to the same.
func (a *answer) same(b *answer) bool {
	if b == nil || a.keys != b.keys || len(a.flags) != len(b.flags) {
		return false
	}
	for key, of := range a.flags {
		if other, ok := b.flags[key]; !ok || !of.same(other) {
			return false
		}
	}
	return true
}

// finishRound takes down how a round ended. What changes by it is logged and told
// once.
func (p *Provider) finishRound(err error, answered bool) {
	now := p.options.Now()
	p.mu.Lock()
	before := p.status
	p.status.Err = err
	p.failures++
	if answered {
		p.failures = 0
	}
	switch {
	case err == nil:
		p.status.LastSuccess, p.status.Since = now, time.Time{}
	case before.Err == nil:
		p.status.Since = now
	}
	p.mu.Unlock()

	switch {
	case err == nil && before.Err != nil:
		p.options.Logger.Info("the flag server answers again", "after", now.Sub(before.Since).Round(time.Millisecond))
		p.emit(openfeature.ProviderReady, "the flag server answers again")
	case err == nil && before.LastSuccess.IsZero():
		p.options.Logger.Info("the flag server answers")
		p.emit(openfeature.ProviderReady, "the flag server answers")
	case err != nil && before.Err == nil && before.LastSuccess.IsZero():
		p.options.Logger.Warn("the flag server has not answered yet", "error", err)
		p.emit(openfeature.ProviderError, err.Error())
	case err != nil && before.Err == nil:
		p.options.Logger.Warn("the flag server fails, and its last good answers stay", "error", err)
		p.emit(openfeature.ProviderStale, err.Error())
	case err != nil && reasonOf(err) != reasonOf(before.Err):
		p.options.Logger.Warn("the flag server fails for another reason now", "error", err)
	}
}

// emit puts an event into the channel and never waits. At most two events are
// in it, one about the configuration and one about the state: a later one takes
// the place of its like that nobody has taken.
func (p *Provider) emit(kind openfeature.EventType, message string) {
	event := openfeature.Event{
		ProviderName:         p.Metadata().Name,
		EventType:            kind,
		ProviderEventDetails: openfeature.ProviderEventDetails{Message: message},
	}
	var waiting []openfeature.Event
	for range cap(p.events) {
		select {
		case e := <-p.events:
			waiting = append(waiting, e)
		default:
		}
	}
	waiting = slices.DeleteFunc(waiting, func(e openfeature.Event) bool {
		return (e.EventType == openfeature.ProviderConfigChange) == (kind == openfeature.ProviderConfigChange)
	})
	for _, e := range append(waiting, event) {
		p.events <- e // the round has its turn, so nobody else fills it
	}
}
