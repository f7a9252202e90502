// Package purge has the operator's caches emptied when something begins to be
// refused: what they have stored before, they would give out.
//
// A Purger hears of every snapshot that is taken into use, and knows which of
// what is refused the caches were purged for. Nothing waits for it. What fails is
// done again until it succeeds, also after a restart: the last thing that it has
// on disk is what is done.
package purge

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
)

const (
	// What fails is done again after the first, then twice as long each time.
	firstRetry, lastRetry = time.Second, time.Minute
	// An answer that was under way when something began to be refused may be
	// stored once it is complete: the caches are purged again when the last of
	// these has ended and was stored, and meanwhile after the first, then ten times
	// as long.
	firstAgain, lastAgain = 10 * time.Second, 10_000 * time.Second
	// poll is how often, at least, it is looked whether they have ended.
	poll = 250 * time.Millisecond
)

// Options are what a Purger is made of. All are required.
type Options struct {
	// Do empties the caches.
	Do func(context.Context, Order) error
	// Read returns what Write kept; nil if nothing was.
	Read  func() ([]byte, error)
	Write func([]byte) error
	// Settle is how long a cache takes to store an answer that has ended.
	Settle time.Duration
	// OnResult is told of every attempt.
	OnResult func(Order, error)
	Log      *slog.Logger
	Now      func() time.Time
}

// An Order is what a purge is asked for with. It is written as JSON.
type Order struct {
	Version int       `json:"version"` // 1
	Time    time.Time `json:"time"`
	// Markets are those where something is refused that may have been stored.
	Markets []Market `json:"markets"`
}

// A Market is what is refused in a jurisdiction since the last purge.
type Market struct {
	Jurisdiction policy.Code `json:"jurisdiction"`
	Classes      []string    `json:"classes"`
}

// Jurisdictions returns those of the markets.
func (o Order) Jurisdictions() string {
	codes := make([]string, len(o.Markets))
	for i, m := range o.Markets {
		codes[i] = string(m.Jurisdiction)
	}
	return strings.Join(codes, " ")
}

// A Purger is safe for concurrent use.
type Purger struct {
	o       Options
	changed chan struct{}
	answers atomic.Pointer[answers] // that are begun now

	mu      sync.Mutex
	queue   []*policy.Snapshot // not looked at yet
	earlier []*answers         // begun before, and not known to have ended
	status  Status

	// Of Run alone.
	refused  []policy.Refusal        // by the newest snapshot
	purged   map[policy.Refusal]bool // those of them that the caches were purged for
	onDisk   []byte
	writable bool
}

// answers counts those that were begun between two snapshots, that caches may
// store and that haven't ended.
type answers struct{ n atomic.Int64 }

func (a *answers) haveEnded() bool { return a.n.Load() == 0 }

// New returns a Purger that purges while Run runs.
func New(o Options) *Purger {
	p := &Purger{o: o, changed: make(chan struct{}, 1), purged: make(map[policy.Refusal]bool), writable: true}
	p.answers.Store(new(answers))
	var kept saved
	text, err := o.Read()
	if err == nil && text != nil {
		err = strictjson.Unmarshal(text, &kept)
	}
	if err != nil {
		o.Log.Warn("what the caches were purged for can't be read: they are purged anew", "error", err)
	}
	for _, r := range kept.Purged {
		p.purged[r] = true
	}
	return p
}

// saved is what is on disk.
type saved struct {
	Version int              `json:"version"` // 1
	Purged  []policy.Refusal `json:"purged"`
}

// Follow hears of a snapshot that was taken into use. It doesn't block.
func (p *Purger) Follow(s *policy.Snapshot) {
	p.mu.Lock()
	p.queue = append(p.queue, s)
	p.earlier = append(p.earlier, p.answers.Swap(new(answers)))
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Begin notes that an answer is begun that a cache may store. Call it before it is
// looked up by what snapshot one may, and what it returns when the answer has ended.
func (p *Purger) Begin() (end func()) {
	a := p.answers.Load()
	a.n.Add(1)
	return func() { a.n.Add(-1) }
}

// A Status is how purges go.
type Status struct {
	Pending []Market  // that no purge has succeeded for
	Since   time.Time // when they began to be refused
	Err     error     // of the last attempt
}

// Status returns how purges go.
func (p *Purger) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Run purges until the context ends, one purge at a time.
func (p *Purger) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var (
		due   time.Time // of the next purge, if something is outstanding
		retry = firstRetry
		again = firstAgain
		done  bool      // a purge has succeeded; answers that were begun before may be stored yet
		since time.Time // when the last of these is known to have been under way
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-timer.C:
		}
		isNew, now := p.look(), time.Now()
		if isNew {
			due, retry, again, done = now, firstRetry, firstAgain, false
		}
		outstanding := p.outstanding()
		if len(outstanding) == 0 {
			p.keep()
			continue
		}
		if isNew || !p.earlierHaveEnded() {
			since = now
		}
		settled := now.Sub(since) >= p.o.Settle
		if done && settled || !now.Before(due) {
			succeeded := p.purge(ctx, outstanding)
			switch {
			case succeeded && settled:
				for _, r := range outstanding {
					p.purged[r] = true
				}
			case succeeded:
				done = true
				due, again = time.Now().Add(again), min(10*again, lastAgain)
			default:
				due, retry = time.Now().Add(retry), min(2*retry, lastRetry)
			}
			timer.Reset(0) // to look at what has come meanwhile
			continue
		}
		wait := time.Until(due)
		if done {
			wait = min(wait, poll, p.o.Settle)
		}
		timer.Reset(wait)
	}
}

// look looks at the snapshots that were taken into use since it last did, one after
// the other: what was opened is to be purged when it is refused again. It reports
// whether something is outstanding that wasn't.
func (p *Purger) look() (isNew bool) {
	p.mu.Lock()
	queue := p.queue
	p.queue = nil
	p.mu.Unlock()
	for _, s := range queue {
		before := p.outstanding()
		p.refused = s.Refusals()
		maps.DeleteFunc(p.purged, func(r policy.Refusal, _ bool) bool { return !slices.Contains(p.refused, r) })
		for _, r := range p.outstanding() {
			isNew = isNew || !slices.Contains(before, r)
		}
	}
	if len(queue) > 0 {
		p.setStatus(func(s *Status) {
			switch {
			case len(p.outstanding()) == 0:
				*s = Status{}
			case isNew:
				s.Pending = markets(p.outstanding())
				if s.Since.IsZero() {
					s.Since = p.o.Now()
				}
			}
		})
	}
	return isNew
}

// outstanding returns what is refused and wasn't purged for.
func (p *Purger) outstanding() []policy.Refusal {
	return slices.DeleteFunc(slices.Clone(p.refused), func(r policy.Refusal) bool { return p.purged[r] })
}

// earlierHaveEnded reports whether all answers have ended that were begun before
// the newest snapshot.
func (p *Purger) earlierHaveEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.earlier = slices.DeleteFunc(p.earlier, (*answers).haveEnded)
	return len(p.earlier) == 0
}

// purge has the caches purged, and reports whether that succeeded.
func (p *Purger) purge(ctx context.Context, outstanding []policy.Refusal) bool {
	order := Order{Version: 1, Time: p.o.Now().UTC(), Markets: markets(outstanding)}
	err := p.o.Do(ctx, order)
	if ctx.Err() != nil {
		return false // the gateway stops; it is done at the next start
	}
	p.o.OnResult(order, err)
	p.setStatus(func(s *Status) {
		switch s.Err = err; {
		case err == nil:
			*s = Status{}
		case s.Pending == nil:
			s.Pending, s.Since = order.Markets, order.Time
		}
	})
	if err != nil {
		p.o.Log.Error("the caches could not be purged: they may serve what is refused; it is tried again", "jurisdictions", order.Jurisdictions(), "error", err)
		return false
	}
	p.o.Log.Info("the caches were purged", "jurisdictions", order.Jurisdictions())
	return true
}

func (p *Purger) setStatus(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
}

// keep writes what the caches were purged for, if that has changed.
func (p *Purger) keep() {
	all := slices.SortedFunc(maps.Keys(p.purged), policy.Refusal.Compare)
	text, err := json.Marshal(saved{Version: 1, Purged: all})
	if err == nil && bytes.Equal(text, p.onDisk) {
		return
	}
	if err == nil {
		err = p.o.Write(text)
	}
	switch {
	case err == nil:
		p.onDisk = text
	case p.writable:
		p.o.Log.Warn("what the caches were purged for could not be kept: they are purged anew at the next start", "error", err)
	}
	p.writable = err == nil
}

// markets returns what is refused by jurisdiction, sorted.
func markets(refusals []policy.Refusal) []Market {
	var all []Market
	for _, r := range refusals { // sorted, too
		if n := len(all); n == 0 || all[n-1].Jurisdiction != r.Jurisdiction {
			all = append(all, Market{Jurisdiction: r.Jurisdiction})
		}
		last := &all[len(all)-1]
		if !slices.Contains(last.Classes, r.Class) {
			last.Classes = append(last.Classes, r.Class)
		}
	}
	return all
}
