package session

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy"
)

const (
	// between is how much time there is between two cuts of a drain, if it is long
	// enough, so that not all clients come back at once.
	between = time.Millisecond
	// Of those that are due at once, as many are cut in a row as a pause follows.
	cutsInARow = 500
	pause      = 10 * time.Millisecond
	// lasting is for how long an exchange that is no mere request is under way at least.
	lasting = time.Second
	// maxWait is how long the clock is trusted not to jump.
	maxWait = 30 * time.Second
)

// Drains say by when exchanges are ended. All are required.
type Drains struct {
	// End returns by when an exchange is to be ended that is refused now.
	End func(is Refused, now time.Time) time.Time
	// AtOnce reports whether all that is refused now is to be ended at once.
	AtOnce func() bool
	// Next returns the snapshot that takes the place of the one in use by the date of a
	// step, when that is, and for how long before that it is drained: nil if nothing is.
	Next  func() (next *policy.Snapshot, at time.Time, drain time.Duration)
	OnCut func() // hears of each cut
	// OnEnd hears how many of a market were cut, when no more of them are to be for now.
	OnEnd    func(Cut)
	Revision func() uint64 // that is in use
	Now      func() time.Time
}

// Follow decides all exchanges anew whenever it is told that something has changed by
// which that is decided, and cuts those that would be refused, each by the end of its
// drain, until the context ends. They are cut as late as that may be, one after the other.
// What would be refused by a step to come is cut by its moment; who begins only when the
// others are cut already is then.
func (r *Registry) Follow(ctx context.Context, changed <-chan struct{}, d Drains) {
	f := follower{Registry: r, Drains: d, changed: changed, cut: make(map[cause]Cut)}
	f.wait(ctx, time.Time{})
	for ctx.Err() == nil {
		f.wait(ctx, f.drain(ctx))
	}
}

type follower struct {
	*Registry
	Drains
	changed <-chan struct{}
	cut     map[cause]Cut // that wasn't told of yet
	step    time.Time     // whose drain has begun, zero for none
}

// drain reviews all exchanges and cuts what is due by then. It returns when to go on
// although nothing has changed, zero for never.
func (f *follower) drain(ctx context.Context) (again time.Time) {
	endings, again := f.review()
	for len(endings) > 0 {
		first := endings[0].at
		if first.Sub(f.Now()) > time.Second {
			again = earlier(again, first) // who has begun by then is reviewed, too
			break
		}
		if f.wait(ctx, first) || ctx.Err() != nil {
			again = f.Now()
			break
		}
		endings = f.cutDue(ctx, endings)
	}
	if len(endings) == 0 && !f.step.IsZero() {
		return earlier(again, f.step) // who has begun meanwhile belongs to these
	}
	f.report(endings)
	return again
}

// A cause is what exchanges are cut for.
type cause struct {
	market   string
	revision uint64 // in use when it was found
}

// report tells of the markets of which nothing is left to cut.
func (f *follower) report(left []ending) {
	for of, cut := range f.cut {
		if !slices.ContainsFunc(left, func(e ending) bool { return e.of == of }) {
			f.OnEnd(cut)
			delete(f.cut, of)
		}
	}
}

// due is by when an exchange is ended, and for what.
type due struct {
	by time.Time
	of cause
}

// An ending is when an exchange is cut.
type ending struct {
	e     Exchange
	shard *shard
	is    Refused
	due
	at time.Time
}

// review returns which exchanges are to be cut, and when, in that order; and when to
// review them again although nothing has changed, zero for never.
func (f *follower) review() (endings []ending, again time.Time) {
	f.reviews.Add(1)
	now := f.Now()
	next, step, drain := f.Next()
	if begin := step.Add(-drain); next != nil && begin.After(now) {
		next, again = nil, begin
	}
	if f.step = step; next == nil {
		f.step = time.Time{}
	}
	before := f.ending
	f.ending = make(map[Exchange]due)
	revision, atOnce := f.Revision(), f.AtOnce()
	for e, shard := range f.all() {
		is, refused := e.Refused()
		end := due{by: step}
		if refused && atOnce {
			end.by = now
		} else if refused {
			end.by = f.End(is, now)
		} else if next != nil {
			is, refused = e.RefusedBy(next)
			refused = refused && is.Drain > 0
		}
		if !refused {
			continue
		}
		end.of = cause{is.Market, revision}
		if earlier, known := before[e]; known && !earlier.by.After(end.by) {
			end = earlier
		}
		f.ending[e] = end
		endings = append(endings, ending{e: e, shard: shard, is: is, due: end})
	}
	spread(endings, now)
	return endings, again
}

// spread sets when exchanges are cut, and sorts them by that.
func spread(endings []ending, now time.Time) {
	slices.SortFunc(endings, func(a, b ending) int { return a.by.Compare(b.by) })
	for rest := endings; len(rest) > 0; {
		alike := slices.IndexFunc(rest, func(e ending) bool { return !e.by.Equal(rest[0].by) })
		if alike < 0 {
			alike = len(rest)
		}
		interval := min(between, max(0, rest[0].by.Sub(now))/time.Duration(alike))
		for i := range rest[:alike] {
			e := &rest[i]
			e.at = e.by.Add(-interval * time.Duration(alike-i)) // so that nothing is left by then
			if begin := e.by.Add(-e.is.Drain); e.at.Before(begin) {
				e.at = begin
			}
		}
		rest = rest[alike:]
	}
	slices.SortStableFunc(endings, func(a, b ending) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
}

// cutDue cuts the exchanges that are due, and returns the others.
func (f *follower) cutDue(ctx context.Context, endings []ending) []ending {
	now, cut := f.Now(), 0
	for len(endings) > 0 && !endings[0].at.After(now) && ctx.Err() == nil {
		e := endings[0]
		endings = endings[1:]
		if !e.shard.has(e.e) {
			continue // it has ended
		}
		e.e.Cut()
		f.OnCut()
		of := f.cut[e.of]
		of.Market, of.Revision = e.of.market, e.of.revision
		of.All++
		if now.Sub(e.is.Begun) >= lasting {
			of.Lasting++
		}
		f.cut[e.of] = of
		if cut++; cut%cutsInARow == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	return endings
}

// wait waits until a moment, if it isn't zero, and reports whether something has changed
// before.
func (f *follower) wait(ctx context.Context, until time.Time) (changed bool) {
	for {
		var timer <-chan time.Time
		if !until.IsZero() {
			left := until.Sub(f.Now())
			if left <= 0 {
				return false
			}
			timer = time.After(min(left, maxWait))
		}
		select {
		case <-ctx.Done():
			return false
		case <-f.changed:
			return true
		case <-timer:
		}
	}
}

// earlier returns the earlier of two moments, of which the first may be zero for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (s *shard) has(e Exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, has := s.all[e]
	return has
}

// all yields the exchanges that are under way, and where they are kept.
func (r *Registry) all() iter.Seq2[Exchange, *shard] {
	return func(yield func(Exchange, *shard) bool) {
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.Lock()
			some := make([]Exchange, 0, len(s.all))
			for e := range s.all {
				some = append(some, e)
			}
			s.mu.Unlock()
			for _, e := range some {
				if !yield(e, s) {
					return
				}
			}
		}
	}
}
