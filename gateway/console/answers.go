package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// A roleSet is the roles of somebody, sorted, each once. What the API answers depends on
// nothing else of who asks, but for their name: so all who have the same may share it.
type roleSet string

func rolesOf(by changes.Actor) roleSet {
	words := make([]string, len(by.Roles))
	for i, role := range by.Roles {
		words[i] = string(role)
	}
	slices.Sort(words)
	return roleSet(strings.Join(slices.Compact(words), " "))
}

// actor returns somebody who has these roles, and no name.
func (r roleSet) actor() (changes.Actor, bool) {
	var by changes.Actor
	for word := range strings.FieldsSeq(string(r)) {
		by.Roles = append(by.Roles, changes.Role(word))
	}
	return by, true
}

// Answers are what the API answers to whoever has some roles, and the pages made of it: each
// is asked for, and made, once for all of them, as they are true of one state and for a
// second at most. The API is asked by an actor who has these roles and no name, so that
// nothing in them is of one person, and nothing that somebody with these roles may not know.
// They are safe for concurrent use; what is in them is not to be changed.
type answers struct {
	console *Console
	roles   roleSet
	state   any // see Options.State
	made    time.Time

	mu   sync.Mutex
	each map[any]func() (any, error) // by what was asked for
}

const (
	// How long answers are taken for new, if nothing has happened.
	answersAge = time.Second
	// For how long the API may be asked.
	askTime = 30 * time.Second
	// How much is remembered of the answers to a set of roles, beyond which each is asked
	// for by itself: anybody may ask for any market.
	maxAnswers = 1000
)

// answersTo returns what the API answers to somebody with some roles, as it is now: made in
// this second, and not before a moment.
func (c *Console) answersTo(roles roleSet, since time.Time) *answers {
	state, now := c.o.State(), c.o.Now()
	if second := now.Truncate(answersAge); since.Before(second) || since.After(now) { // the clock may have been set back
		since = second
	}
	c.answersMu.Lock()
	defer c.answersMu.Unlock()
	if a := c.answers[roles]; a != nil && a.state == state && !a.made.Before(since) && !a.made.After(now) {
		return a
	}
	a := &answers{console: c, roles: roles, state: state, made: now, each: make(map[any]func() (any, error))}
	c.answers[roles] = a
	time.AfterFunc(2*liveInterval, func() { // while nobody looks nothing is kept
		c.answersMu.Lock()
		defer c.answersMu.Unlock()
		if c.answers[roles] == a {
			delete(c.answers, roles)
		}
	})
	return a
}

// once returns what was made for a key, by the first who wants it.
func (a *answers) once(key any, produce func() (any, error)) (any, error) {
	a.mu.Lock()
	result, known := a.each[key]
	if !known {
		result = sync.OnceValues(produce)
		if len(a.each) < maxAnswers {
			a.each[key] = result
		}
	}
	a.mu.Unlock()
	return result()
}

// get returns what the API answers to a GET.
func get[T any](a *answers, target string) (value T, err error) {
	answer, err := a.once(target, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTime) // whoever asked first may go away
		defer cancel()
		var value T
		err := a.console.ask(context.WithValue(ctx, identityKey{}, Identity(a.roles.actor)), http.MethodGet, target, nil, &value)
		return value, err
	})
	if err != nil {
		return value, err
	}
	return answer.(T), nil
}
