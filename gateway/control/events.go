package control

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// Events returns what happens from now on, until the context ends. The channel
// is closed then, when the gateway stops, and when the client is too slow.
func (c *Control) Events(ctx context.Context) <-chan api.Event { return c.o.Events.Subscribe(ctx) }

// Events are sent to whoever subscribes. Nobody is waited for. They are safe for
// concurrent use.
type Events struct {
	now func() time.Time

	mu          sync.Mutex
	subscribers map[chan api.Event]struct{} // nil once they are closed
}

// NewEvents returns Events without subscribers.
func NewEvents(now func() time.Time) *Events {
	return &Events{now: now, subscribers: make(map[chan api.Event]struct{})}
}

// Publish sends an event to all subscribers. One that is too far behind is
// dropped: it would miss something otherwise, and not know.
func (e *Events) Publish(event api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	event.Time = e.now()
	for s := range e.subscribers {
		select {
		case s <- event:
		default:
			e.drop(s)
		}
	}
}

// PublishRecord publishes a record that is in use, with the revision in force
// then.
func (e *Events) PublishRecord(r changes.Record, revision uint64) {
	d, _ := changes.Describe(r) // it is valid: then it can be described
	event := api.Event{Type: "change", Number: r.Number, Author: r.Author, Message: d.Summary, Revision: revision}
	switch r.Kind {
	case changes.RevisionMade:
		event.Type = "revision"
	case changes.PrincipalSet, changes.PrincipalRemoved:
		event.Type = "principal"
	case changes.StepTaken, changes.GuaranteeBreached, changes.BreachAcknowledged, changes.MarketSevered:
		event.Type = "recorded" // it was published when it took place
	case changes.DatabaseDecided:
		event.Type = "database"
	}
	e.Publish(event)
}

// PublishInvalid publishes that a record is skipped, and why.
func (e *Events) PublishInvalid(number uint64, err error) {
	e.Publish(api.Event{Type: "ledger", Number: number, Message: err.Error()})
}

// PublishConnection publishes that the ledger can't be reached, or can again.
func (e *Events) PublishConnection(connected bool, why string) {
	message := "the ledger can be reached"
	if !connected {
		message = "the ledger can't be reached: " + why
	}
	e.Publish(api.Event{Type: "ledger", Message: message})
}

// PublishTransition publishes a scheduled change that has come.
func (e *Events) PublishTransition(changes []string) {
	e.Publish(api.Event{Type: "transition", Message: strings.Join(changes, "; ")})
}

// PublishBreach publishes that a flag is below its guarantee.
func (e *Events) PublishBreach(jurisdiction policy.Code, flag string) {
	e.Publish(api.Event{Type: "breach", Message: fmt.Sprintf("%s is below its guarantee in %s", flag, jurisdiction)})
}

// PublishPurge publishes that the caches in front were purged, or could not be.
func (e *Events) PublishPurge(jurisdictions string, err error) {
	message := "the caches were purged, as more is refused than before in " + jurisdictions
	if err != nil {
		message = fmt.Sprintf("the caches could not be purged, and may serve what is refused now in %s: %v", jurisdictions, err)
	}
	e.Publish(api.Event{Type: "purge", Message: message})
}

// drop ends a subscription. e.mu is held.
func (e *Events) drop(s chan api.Event) {
	if _, subscribed := e.subscribers[s]; subscribed {
		delete(e.subscribers, s)
		close(s)
	}
}

// Subscribe returns what is published from now on. The channel is closed when
// the context ends, when the subscriber has been too slow, and by Close.
func (e *Events) Subscribe(ctx context.Context) <-chan api.Event {
	const backlog = 64 // events
	s := make(chan api.Event, backlog)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.subscribers == nil {
		close(s)
		return s
	}
	e.subscribers[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.drop(s)
	})
	return s
}

// Close ends all subscriptions, and takes no others.
func (e *Events) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.subscribers {
		e.drop(s)
	}
	e.subscribers = nil
}
