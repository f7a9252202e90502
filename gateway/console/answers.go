package console

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// Answers are what the API answers at a moment, and the pages made of it: each is asked for,
// and made, once for all who may know the same, as it is true of one state, and for as long as
// an open page shows it. The API is asked by a viewer without a name, who is counsel or isn't, so that
// nothing in the answers is of one person, nor more than anybody may know who is shown them:
// viewer is the role that may do least. They are safe for concurrent use; what is in them is
// not to be changed.
type answers struct {
	console *Console
	counsel bool
	state   any // see Options.State
	made    time.Time

	mu   sync.Mutex
	each map[any]func() (any, error) // by what was asked for
}

// reader returns by whom the API is asked.
func (a *answers) reader() (changes.Actor, bool) {
	by := changes.Actor{Roles: []changes.Role{changes.Viewer}}
	if a.counsel {
		by.Roles = append(by.Roles, changes.Counsel)
	}
	return by, true
}

const (
	// For how long the API may be asked.
	askTime = 30 * time.Second
	// How much is remembered of a moment, beyond which each is made for whoever asks: anybody
	// may ask for any market.
	maxAnswers = 1000
)

// answersTo returns what the API answers to somebody, as it is now: not before a moment, nor
// before the open pages were last looked at again.
func (c *Console) answersTo(by changes.Actor, since time.Time) *answers {
	counsel := slices.Contains(by.Roles, changes.Counsel)
	state, now := c.o.State(), c.o.Now()
	if look := now.Truncate(liveInterval); since.Before(look) || since.After(now) { // the clock may have been set back
		since = look
	}
	c.answersMu.Lock()
	defer c.answersMu.Unlock()
	if a := c.answers[counsel]; a != nil && a.state == state && !a.made.Before(since) && !a.made.After(now) {
		return a
	}
	a := &answers{console: c, counsel: counsel, state: state, made: now, each: make(map[any]func() (any, error))}
	c.answers[counsel] = a
	time.AfterFunc(2*liveInterval, func() { // while nobody looks nothing is kept
		c.answersMu.Lock()
		defer c.answersMu.Unlock()
		if c.answers[counsel] == a {
			delete(c.answers, counsel)
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
		err := a.console.ask(context.WithValue(ctx, identityKey{}, Identity(a.reader)), http.MethodGet, target, nil, &value)
		return value, err
	})
	if err != nil {
		return value, err
	}
	return answer.(T), nil
}
