package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A book is this gateway's copy of what the ledger comes to. It follows the
// ledger, takes each revision into use, and is kept on disk: a gateway that
// can't reach the ledger goes by its book.
type book struct {
	file   string // in which the last page is kept
	open   func(ctx context.Context, known ledger.Point) (*ledger.Ledger, error)
	remote bool          // the ledger is the operator's, and may be out of reach
	counts func() []byte // of requests, for other gateways that ask
	data   statedir.Dir
	engine *enforce.Engine
	flags  func() policy.Flags
	now    func() time.Time
	log    *slog.Logger
	events *events

	writing  chan struct{} // held by who writes: two on one gateway needn't race
	page     atomic.Pointer[page]
	parsed   atomic.Pointer[policy.Policy] // last
	refusals refusals

	mu     sync.Mutex
	turned chan struct{}  // closed when there is another page
	ledger *ledger.Ledger // nil: it can't be opened
	shut   error          // why it can't
	since  time.Time      // how long it can't
	unkept error          // why the last page couldn't be kept
}

// A page is what the ledger comes to at one point. It is immutable.
type page struct {
	state changes.State
	point ledger.Point
	last  *changes.Record // nil if it isn't believed
	// refused is how many revisions were not believed since the page was
	// read from disk, or began.
	refused int
}

// keptPage is a page on disk.
type keptPage struct {
	Point   ledger.Point      `json:"point"`
	State   json.RawMessage   `json:"state"`
	Refused map[uint64]string `json:"refused,omitempty"` // refusals
}

const (
	catchingUp = 5 * time.Second  // how long a start that can do without waits for a ledger that may be out of reach
	stallLimit = 10 * time.Second // how long one more record is waited for, or half as long over a network
	openAgain  = 5 * time.Second  // the pause before another attempt to open the ledger
	patience   = 25 * time.Second // how long a change may take: a cluster without a leader needs up to nine seconds
	firstWords = "version: 1\n"   // the policy that a ledger begins with: it serves everywhere
)

// What gateways ask each other for.
const (
	lastTopic    = "last"    // the last record that they know
	trafficTopic = "traffic" // how many requests there were
)

func parseRevision(source []byte) (*policy.Policy, error) {
	return enforce.ParsePolicy("policy", source)
}

// parse is parseRevision, but for the policy that it was asked for last: what is
// planned, proposed and read back is most often the same.
func (b *book) parse(source []byte) (*policy.Policy, error) {
	if last := b.parsed.Load(); last != nil && bytes.Equal(last.Source(), source) {
		return last, nil
	}
	p, err := parseRevision(source)
	if err == nil {
		b.parsed.Store(p)
	}
	return p, err
}

// start takes the newest revision that can be found out into use: that of the
// ledger, else the last one that was kept. It never begins anew in the place of
// something that was lost.
func (b *book) start(ctx context.Context) error {
	b.writing, b.turned = make(chan struct{}, 1), make(chan struct{})
	kept, damaged := b.restore()
	b.page.Store(kept)
	known := damaged == nil && kept.state.Revision().Number > 0
	if known {
		if err := b.opensNothing(kept); err != nil {
			return err
		}
		if err := b.engine.Apply(kept.state.Policy(), kept.state.Source(), kept.state.Revision().Number); err != nil {
			return err
		}
	}
	if damaged != nil {
		b.log.Error("what was kept of the ledger can't be used; reading all of the ledger instead", "error", damaged)
	}
	err := b.reach(ctx)
	if err == nil {
		if b.remote && known {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, catchingUp)
			defer cancel()
		}
		err = b.catchUp(ctx, damaged == nil)
	}
	switch now := b.page.Load(); {
	case damaged != nil && err == nil && (now.state.Revision().Number == 0 || now.refused > 0):
		return fmt.Errorf("%w; and the ledger doesn't make up for it: restore %s from a backup, or remove it to go by what the ledger has", damaged, b.file)
	case err == nil:
	case known:
		b.log.Error("the ledger can't be read; serving by the last revision that was kept", "error", err, "revision", kept.state.Revision().Number)
	case damaged != nil:
		return errors.Join(damaged, err)
	case b.remote && !errors.Is(err, ledger.ErrStream):
		b.log.Error("no revision is known, and the ledger can't be reached: nothing is served until it can", "error", err)
		b.engine.StartClosed()
	default:
		return err
	}
	return nil
}

// restore reads the page that was kept, an empty one if there is none.
func (b *book) restore() (*page, error) {
	empty := &page{state: changes.New(b.parse)}
	text, err := b.data.ReadReplica()
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	var kept keptPage
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return empty, fmt.Errorf("%s: %w", b.file, err)
	}
	state, err := changes.Restore(kept.State, b.parse)
	if err != nil {
		return empty, fmt.Errorf("%s: %w", b.file, err)
	}
	b.refusals.restore(kept.Refused)
	return &page{state: state, point: kept.Point}, nil
}

// reach opens the ledger, if that isn't done.
func (b *book) reach(ctx context.Context) error {
	if l, _ := b.opened(); l != nil {
		return nil
	}
	l, err := b.open(ctx, b.page.Load().point)
	if err == nil {
		if err = b.answerOthers(l); err != nil {
			err, l = errors.Join(err, l.Close()), nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.shut == nil {
		b.since = b.now()
	}
	b.ledger, b.shut = l, err
	return err
}

// answerOthers tells other gateways what they ask this one for.
func (b *book) answerOthers(l *ledger.Ledger) error {
	return errors.Join(
		l.Respond(lastTopic, func(context.Context, []byte) []byte {
			return strconv.AppendUint(nil, b.page.Load().point.Number, 10)
		}),
		l.Respond(trafficTopic, func(context.Context, []byte) []byte { return b.counts() }),
	)
}

// opened returns the ledger, or why there is none.
func (b *book) opened() (*ledger.Ledger, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger, b.shut
}

// catchUp reads what the ledger has more than the book. An empty ledger is
// begun, if it may be.
func (b *book) catchUp(ctx context.Context, mayBegin bool) error {
	l, err := b.opened()
	if err != nil {
		return err
	}
	now := b.page.Load()
	if now.point == (ledger.Point{}) {
		if err := b.askOthers(ctx, l); err != nil {
			return err
		}
	}
	ctx, stalled := context.WithCancelCause(ctx)
	defer stalled(nil)
	limit, advice := stallLimit, "put the ledger's folder back from a backup"
	if b.remote {
		limit, advice = stallLimit/2, "see whether NATS is well"
	}
	stall := time.AfterFunc(limit, func() {
		stalled(fmt.Errorf("nothing could be read from the ledger for %v: %s", limit, advice))
	})
	defer stall.Stop()
	for r, err := range l.History(ctx, now.point) {
		if err != nil {
			return err
		}
		now = b.read(now, r)
		stall.Reset(limit)
	}
	if now.point != b.page.Load().point {
		if err := b.endsWithLastGood(now); err != nil {
			return err
		}
		if err := b.opensNothing(now); err != nil {
			return err
		}
		b.turn(now, now.news())
	}
	if now.point != (ledger.Point{}) || !mayBegin {
		return nil
	}
	first, err := b.first()
	if err != nil {
		return err
	}
	r, err := l.Append(ctx, ledger.Point{}, entryOf(first))
	var conflict *ledger.Conflict
	if errors.As(err, &conflict) {
		return b.catchUp(ctx, false) // another gateway was first
	}
	if err != nil {
		return err
	}
	b.log.Warn("the ledger is empty: it begins with a policy", "why", first.Reason)
	now = b.read(now, r)
	b.turn(now, now.news())
	return nil
}

// first is what an empty ledger begins with: a policy that serves everywhere,
// or, on a machine that went by another one, that one. Neither a setting that
// changes nor a ledger that is lost opens a market.
func (b *book) first() (changes.Draft, error) {
	everywhere := changes.FirstRevision([]byte(firstWords))
	source, err := b.data.ReadLastGood()
	if errors.Is(err, fs.ErrNotExist) {
		return everywhere, nil
	}
	if err == nil {
		_, err = enforce.ParsePolicy(b.data.LastGood(), source)
	}
	if err != nil {
		return everywhere, fmt.Errorf("the ledger is empty, and the policy that this machine last went by can't be used: %w\nmend it, or remove it to begin with a policy that serves everywhere", err)
	}
	first := changes.FirstRevision(source)
	first.Reason = "This machine went by it before: it is " + b.data.LastGood() + "."
	return first, nil
}

// endsWithLastGood says whether the ledger goes as far as this machine went,
// where its own account of that is lost.
func (b *book) endsWithLastGood(now *page) error {
	if b.remote || b.page.Load().point != (ledger.Point{}) {
		return nil
	}
	if source, err := b.data.ReadLastGood(); err != nil || bytes.Equal(source, now.state.Source()) {
		return nil
	}
	return fmt.Errorf("the ledger ends with revision %d, but this machine last went by another policy, that in %s, and no good %s says how far the ledger had come: put the data folder back from a backup, or remove %s to go by what the ledger has",
		now.state.Revision().Number, b.data.LastGood(), b.file, b.data.LastGood())
}

// opensNothing says whether a gateway that went by a policy file before can go
// by the ledger instead: only a revision opens a market, and no setting.
func (b *book) opensNothing(next *page) error {
	source, file := b.data.LastFilePolicy()
	deciding := b.engine.Decides()
	if source == nil || next.state.Policy() == nil || deciding {
		return nil
	}
	before, err := enforce.ParsePolicy(file, source)
	if err != nil {
		return nil // it held nobody off any more
	}
	revision := next.state.Revision()
	if plan := policy.NewPlan(before, next.state.Policy(), b.flags(), b.now()); !plan.HasEffect(policy.OpensMarket) && !plan.HasEffect(policy.WeakensGuarantee) {
		return nil
	}
	return fmt.Errorf("this gateway went by %s last, and revision %d of the ledger would open what that withdrew: go on with the file; or, where no traffic goes, remove %s, start the gateway and exitgate apply %s",
		file, revision.Number, b.data.Schedule(), file)
}

// askOthers finds out how far the ledger has come, for a gateway that has never
// seen it: one that was lost is not to begin anew.
func (b *book) askOthers(ctx context.Context, l *ledger.Ledger) error {
	if !b.remote {
		return nil
	}
	answers, err := l.Query(ctx, lastTopic, nil)
	for _, text := range answers {
		if last, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			l.ExpectAtLeast(last)
		}
	}
	return err
}

// run follows the ledger until the context ends.
func (b *book) run(ctx context.Context) {
	said := ""
	for ; ctx.Err() == nil; pause(ctx, openAgain) {
		err := b.reach(ctx)
		if err == nil && b.page.Load().point == (ledger.Point{}) {
			err = b.catchUp(ctx, true)
		}
		if err == nil {
			err = b.follow(ctx)
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			b.log.Error("the ledger can't be followed; trying again and again", "error", err)
		}
	}
}

// follow goes by each record as it comes; but of those that were missed, only by
// the last: what was opened and withdrawn again in between is not opened here.
func (b *book) follow(ctx context.Context) error {
	l, _ := b.opened()
	next := b.page.Load()
	var news []api.Event
	return l.Follow(ctx, next.point, func(r ledger.Record) {
		next = b.read(next, r)
		news = append(news, next.news()...)
	}, func() {
		if next.point != b.page.Load().point {
			b.turn(next, news)
			news = nil
		}
	})
}

// pause waits, but not longer than the context lasts.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// read returns the page after a record. One that isn't believed changes nothing.
func (b *book) read(now *page, r ledger.Record) *page {
	next, last := &page{point: r.Point(), refused: now.refused}, recordOf(r)
	var err error
	next.state, err = now.state.With(last)
	b.refusals.note(r.Number, err)
	if err == nil {
		next.last = &last
	} else {
		next.refused++
		_ = b.engine.RecordFailure(r.Hash.String(), fmt.Errorf("record %d of the ledger, by %s, is refused: %w", r.Number, r.Author, err)) // logged there
	}
	return next
}

// turn goes by another page from now on, and then tells the news.
func (b *book) turn(next *page, news []api.Event) {
	before, revision := b.page.Load(), next.state.Revision()
	if revision.Number != before.state.Revision().Number {
		if err := b.engine.Apply(next.state.Policy(), next.state.Source(), revision.Number); err != nil {
			_ = b.engine.RecordFailure(revision.SHA256, err) // it was checked when it was read
		}
	}
	b.page.Store(next)
	b.keep(next)
	for _, event := range news {
		b.events.tell(event)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.turned)
	b.turned = make(chan struct{})
}

// news tells of the last record, if it is believed.
func (p *page) news() []api.Event {
	r := p.last
	if r == nil {
		return nil
	}
	d, _ := changes.Describe(*r) // it was believed: then it can be described
	told := api.Event{Type: "change", Number: r.Number, Author: r.Author, Message: d.Summary, Revision: p.state.Revision().Number}
	switch r.Kind {
	case changes.RevisionMade:
		told.Type = "revision"
	case changes.PrincipalSet, changes.PrincipalRemoved:
		told.Type = "principal"
	}
	return []api.Event{told}
}

// keep keeps a page for the next start.
func (b *book) keep(p *page) {
	state, err := p.state.MarshalJSON()
	var text []byte
	if err == nil {
		text, err = json.Marshal(keptPage{p.point, state, b.refusals.all()})
	}
	if err == nil {
		err = b.data.WriteReplica(text)
	}
	if err != nil {
		b.log.Error("the ledger's state could not be kept: the next start would need the ledger", "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unkept = err
}

// await waits until the book has come to a record.
func (b *book) await(ctx context.Context, number uint64) error {
	for {
		b.mu.Lock()
		turned := b.turned
		b.mu.Unlock()
		if b.page.Load().point.Number >= number {
			return nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write appends what is decided by the newest page, and returns when this
// gateway goes by it. If somebody else was faster, it is decided anew.
func (b *book) write(ctx context.Context, decide func(changes.State) (changes.Draft, error)) (changes.Record, error) {
	// Whoever asked may go away: what was sent is not called back by that.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	select {
	case b.writing <- struct{}{}:
		defer func() { <-b.writing }()
	case <-ctx.Done():
		return changes.Record{}, unavailable(errors.New("other changes are under way"))
	}
	l, err := b.opened()
	if err == nil {
		err = b.lostForLong()
	}
	if err != nil {
		return changes.Record{}, unavailable(err)
	}
	for {
		now := b.page.Load()
		entry, err := decide(now.state)
		if err != nil {
			return changes.Record{}, err
		}
		r, err := l.Append(ctx, now.point, entryOf(entry))
		var conflict *ledger.Conflict
		var unknown *ledger.Unacknowledged
		switch {
		case errors.As(err, &conflict):
			if err := b.await(ctx, conflict.Winner.Number); err != nil {
				return changes.Record{}, unavailable(conflict)
			}
			continue
		case errors.As(err, &unknown):
			return changes.Record{}, notAcknowledged(unknown)
		case err != nil:
			return changes.Record{}, unavailable(b.plainly(err))
		}
		if err := b.await(ctx, r.Number); err != nil {
			return changes.Record{}, notAcknowledged(fmt.Errorf("record %d is in the ledger, but this gateway hasn't read it yet", r.Number))
		}
		return changes.Record{Number: r.Number, Time: r.Time, Draft: entry}, nil
	}
}

// lostForLong says why a ledger can't be reached, if that has lasted longer than
// a cluster needs for another leader: then nobody is kept waiting for it.
func (b *book) lostForLong() error {
	const election = 10 * time.Second
	if s := b.status(); !s.Connected && b.now().Sub(s.Since) > election {
		return errors.New(s.Why)
	}
	return nil
}

// plainly says why something failed in the words of the connection, if that is
// lost.
func (b *book) plainly(err error) error {
	if s := b.status(); !s.Connected {
		return errors.New(s.Why)
	}
	return err
}

func entryOf(e changes.Draft) ledger.Content {
	return ledger.Content{Kind: string(e.Kind), Author: e.Author, Reason: e.Reason, Body: e.Body}
}

// unavailable is of a change that was not made.
func unavailable(err error) error {
	return &changes.Error{
		Code:    changes.Unavailable,
		Message: fmt.Sprintf("nothing was changed, as the ledger can't be written: %v", err),
		Advice:  "see exitgate status; clients get what they got before",
	}
}

// notAcknowledged is of a change of which it isn't known whether it was made.
func notAcknowledged(err error) error {
	return &changes.Error{
		Code:    changes.NotAcknowledged,
		Message: fmt.Sprintf("it isn't known whether the change was made: %v", err),
		Advice:  "look at exitgate log, or send it again with the same Idempotency-Key",
	}
}

// status says how well the ledger can be reached.
func (b *book) status() api.Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	number := b.page.Load().point.Number
	if b.ledger == nil {
		return api.Ledger{Since: b.since, Why: b.shut.Error(), Last: number}
	}
	s := b.ledger.Status()
	return api.Ledger{Connected: s.Connected, Since: s.Since, Why: s.Why, Last: number}
}

// keeping returns why the last page isn't on disk, nil if it is.
func (b *book) keeping() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unkept
}

// close ends the ledger, with everything on disk.
func (b *book) close() {
	if l, _ := b.opened(); l != nil {
		if err := l.Close(); err != nil {
			b.log.Error("the ledger was not closed well", "error", err)
		}
	}
}
