package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/control"
	"github.com/exitgate/exitgate/policy/changes"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newEvents() *control.Events { return control.NewEvents(func() time.Time { return now }) }

func TestEvents(t *testing.T) {
	e := newEvents()
	one, two := e.Subscribe(t.Context()), e.Subscribe(t.Context())
	e.PublishBreach("FR", "e2ee")
	e.PublishRecord(changes.Record{Number: 1, Draft: changes.FirstRevision([]byte("version: 1\n"))}, 1)
	for _, events := range []<-chan api.Event{one, two} {
		for _, want := range []string{"breach", "revision"} {
			if got := <-events; got.Type != want || !got.Time.Equal(now) {
				t.Errorf("got %+v, not %s", got, want)
			}
		}
	}
	e.Close()
	for _, events := range []<-chan api.Event{one, two, e.Subscribe(t.Context())} {
		if _, open := <-events; open {
			t.Error("a subscription outlasts Close")
		}
	}
}

// A subscriber that would miss an event is dropped, and others are not kept
// waiting for it.
func TestEvents_slowSubscriber(t *testing.T) {
	e := newEvents()
	slow := e.Subscribe(t.Context())
	for range cap(slow) + 1 {
		e.PublishConnection(true, "")
	}
	received := 0
	for range slow {
		received++
	}
	if received != cap(slow) {
		t.Errorf("got %d events, not %d", received, cap(slow))
	}
}

func TestEvents_contextEnds(t *testing.T) {
	e := newEvents()
	ctx, cancel := context.WithCancel(t.Context())
	events := e.Subscribe(ctx)
	cancel()
	if _, open := <-events; open {
		t.Error("a subscription outlasts its context")
	}
}
