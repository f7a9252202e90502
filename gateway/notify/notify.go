// Package notify tells the operator's receivers what happens: by webhooks, each with a
// CloudEvent (version 1.0), signed as the Standard Webhooks specification says.
//
// What is to be told is in a bounded queue on disk until a receiver has taken it, in
// order. Nothing waits for a receiver.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/exitgate/exitgate/internal/strictjson"
)

// The kinds of events, as an Event's type has them behind [TypePrefix].
const (
	Proposed   = "proposed"   // a change waits for approvals
	Approved   = "approved"   // by one person; it may need more
	Rejected   = "rejected"   // a change was rejected or given up
	Expiring   = "expiring"   // a change that waits can soon no longer be approved
	Applied    = "applied"    // a revision came into force
	Emergency  = "emergency"  // the same, by one person alone
	Overdue    = "overdue"    // nobody else has signed an emergency in time
	Transition = "transition" // a step of a schedule was taken
	Breach     = "breach"     // a flag was below its guarantee, and a market is withheld
	Unenforced = "unenforced" // a market is restricted, and a gateway can't find who is there
)

// Kinds are all of them.
var Kinds = []string{Proposed, Approved, Rejected, Expiring, Applied, Emergency, Overdue, Transition, Breach, Unenforced}

// TypePrefix stands before an event's kind in its type.
const TypePrefix = "exitgate."

// An Event is a CloudEvent (CloudEvents 1.0, JSON format).
type Event struct {
	SpecVersion string          `json:"specversion"` // 1.0
	ID          string          `json:"id"`          // the same, whichever gateway of a ledger tells of it
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Time        time.Time       `json:"time"`
	Subject     string          `json:"subject,omitempty"`
	DataType    string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// NewEvent returns an event of a kind, about something that encoding/json can write.
func NewEvent(kind, source, id, subject string, at time.Time, data any) (Event, error) {
	text, err := json.Marshal(data)
	return Event{"1.0", id, source, TypePrefix + kind, at.UTC(), subject, "application/json", text}, err
}

// maxQueue is how many events wait for one receiver at most. Of more, the oldest are
// dropped.
const maxQueue = 1000

// Options are what a Notifier is made of.
type Options struct {
	Receivers []Receiver
	Read      func() ([]byte, error) // what Write has kept; nil: nothing yet
	Write     func([]byte) error
	// OnResult is called of each attempt, and OnDropped of each event that had no room.
	OnResult  func(receiver string, err error)
	OnDropped func(receiver string)
	Log       *slog.Logger
	Now       func() time.Time
}

// A Notifier is safe for concurrent use.
type Notifier struct {
	o     Options
	awake []chan struct{} // of each receiver: there is something for it

	mu      sync.Mutex
	saved   saved
	unsaved int // events that were told since it was kept
}

// saved is what is kept on disk.
type saved struct {
	// Last is the last record of the ledger that is in the queues, or needn't be.
	Last uint64 `json:"last"`
	// Active are conditions that were told of, and still hold.
	Active []string `json:"active"`
	// Queues are by receiver.
	Queues map[string][]Event `json:"queues"`
}

// New returns a Notifier with what is left of before. An error is about what is kept:
// then it begins anew.
func New(o Options) (*Notifier, error) {
	n := &Notifier{o: o, saved: saved{Queues: map[string][]Event{}}}
	for range o.Receivers {
		n.awake = append(n.awake, make(chan struct{}, 1))
	}
	text, err := o.Read()
	if err != nil || text == nil {
		return n, err
	}
	var kept saved
	if err := strictjson.Unmarshal(text, &kept); err != nil {
		return n, fmt.Errorf("what was to be told is lost: %w", err)
	}
	n.saved.Last, n.saved.Active = kept.Last, kept.Active
	for i, r := range o.Receivers {
		if left := kept.Queues[r.id()]; len(left) > 0 {
			n.saved.Queues[r.id()] = left
			n.wake(i)
		}
	}
	return n, nil
}

// Begin says up to which record nobody is told, as it was there before: the first time
// only, and returns the last record that was told of. 0: it isn't known yet.
func (n *Notifier) Begin(last uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.saved.Last == 0 && last > 0 {
		n.saved.Last = last
		n.save()
	}
	return n.saved.Last
}

// Add adds events to the queues of who wants them. last is the last record that they
// are about, 0 if they are about none.
func (n *Notifier) Add(last uint64, events ...Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.saved.Last = max(n.saved.Last, last)
	for _, e := range events {
		n.add(e)
	}
	n.save()
}

// Conditions tells of conditions that hold now, once each for as long as they hold. The
// key of a condition is its event's ID.
func (n *Notifier) Conditions(now []Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var active []string
	changed := false
	for _, e := range now {
		active = append(active, e.ID)
		if !slices.Contains(n.saved.Active, e.ID) {
			changed = true
			n.add(e)
		}
	}
	slices.Sort(active)
	if changed || !slices.Equal(active, n.saved.Active) {
		n.saved.Active = active
		n.save()
	}
}

// add puts an event into queues. n.mu is held.
func (n *Notifier) add(e Event) {
	for i, r := range n.o.Receivers {
		if !r.wants(e) {
			continue
		}
		queue := append(n.saved.Queues[r.id()], e)
		if len(queue) > maxQueue {
			queue = slices.Clone(queue[1:])
			n.o.OnDropped(r.Name())
		}
		n.saved.Queues[r.id()] = queue
		n.wake(i)
	}
}

func (n *Notifier) wake(receiver int) {
	select {
	case n.awake[receiver] <- struct{}{}:
	default: // it is awake
	}
}

// save keeps what is to be told. What can't be kept is told all the same, unless the
// gateway ends first. n.mu is held.
func (n *Notifier) save() {
	n.unsaved = 0
	text, err := json.Marshal(n.saved)
	if err == nil {
		err = n.o.Write(text)
	}
	if err != nil {
		n.o.Log.Error("what is to be told can't be kept: a restart would forget it", "error", err)
	}
}

// Pending returns how many events wait for each receiver.
func (n *Notifier) Pending() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	pending := make(map[string]int, len(n.o.Receivers))
	for _, r := range n.o.Receivers {
		pending[r.Name()] += len(n.saved.Queues[r.id()])
	}
	return pending
}

// Run sends what is to be told until the context ends.
func (n *Notifier) Run(ctx context.Context) {
	var running sync.WaitGroup
	for i, r := range n.o.Receivers {
		running.Go(func() { n.serve(ctx, i, r) })
	}
	running.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.save()
}

// Between attempts.
const (
	firstPause = 2 * time.Second
	maxPause   = 5 * time.Minute
)

// serve sends to one receiver, one event after the other, in order.
func (n *Notifier) serve(ctx context.Context, i int, r Receiver) {
	wait := firstPause
	for {
		e, some := n.first(r)
		if !some {
			select {
			case <-ctx.Done():
				return
			case <-n.awake[i]:
			}
			continue
		}
		err := r.send(ctx, e, n.o.Now())
		if ctx.Err() != nil {
			return
		}
		n.o.OnResult(r.Name(), err)
		if err == nil {
			wait = firstPause
			n.remove(r, e)
			continue
		}
		n.o.Log.Warn("a receiver wasn't told: it is tried again", "receiver", r.Name(), "event", e.Type, "error", err)
		pause := wait
		if later, ok := errors.AsType[*laterError](err); ok {
			pause = min(max(pause, later.after), time.Hour)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, maxPause)
	}
}

func (n *Notifier) first(r Receiver) (e Event, some bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if queue := n.saved.Queues[r.id()]; len(queue) > 0 {
		return queue[0], true
	}
	return e, false
}

// remove takes what was told out of a queue; by now it may have been dropped.
func (n *Notifier) remove(r Receiver, e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	queue := n.saved.Queues[r.id()]
	if len(queue) == 0 || queue[0].ID != e.ID || !bytes.Equal(queue[0].Data, e.Data) {
		return
	}
	n.saved.Queues[r.id()] = queue[1:]
	// What was told and isn't kept is told again after a crash, with the same ID.
	if n.unsaved++; len(queue) == 1 || n.unsaved >= maxUnsaved {
		n.save()
	}
}

// maxUnsaved is how many events are told before that is kept, if more wait.
const maxUnsaved = 50
