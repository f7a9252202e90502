package admin

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// Limits are limits that tests can reach.
type Limits struct {
	LargeBodies   int
	SlotWait      time.Duration
	BodyTime      time.Duration
	Streams       int
	Heartbeat     time.Duration
	EventTime     time.Duration
	Verifications int
}

const (
	SmallBody  = smallBody
	PolicyBody = policyBody
)

// NewWithin is New with other limits; zero ones are as usual.
func NewWithin(o Options, l Limits) http.Handler {
	within := defaults
	set(&within.largeBodies, l.LargeBodies)
	set(&within.slotWait, l.SlotWait)
	set(&within.bodyTime, l.BodyTime)
	set(&within.streams, l.Streams)
	set(&within.heartbeat, l.Heartbeat)
	set(&within.eventTime, l.EventTime)
	set(&within.verifications, l.Verifications)
	return newHandler(o, within)
}

func set[T int | time.Duration](to *T, value T) {
	if value != 0 {
		*to = value
	}
}

// AsUser makes a context that of a connection over the socket.
func AsUser(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, peerKey{}, peer{func() string { return name }})
}

// A Route is an endpoint, as far as the API's document speaks of it.
type Route struct {
	Path, Method        string
	Query               []string
	Body                int64
	Public              bool
	IfMatch, Idempotent bool
	Created, ETag, YAML bool
	Roles               []changes.Role
	Local               bool
	Request, Response   reflect.Type // nil: there is none
}

// Routes are all that the API answers.
func Routes() []Route {
	var routes []Route
	body := func(t reflect.Type) reflect.Type {
		if t == reflect.TypeFor[none]() {
			return nil
		}
		return t
	}
	for _, e := range new(handler).endpoints() {
		routes = append(routes, Route{
			e.path, e.method, e.query, e.limit, e.access.public, e.ifMatch, e.idempotent, e.created, e.etag, e.yaml,
			e.access.roles, e.access.local, body(e.request), body(e.response),
		})
	}
	return routes
}

var (
	Read             = read
	WantsYAML        = func(r *http.Request) bool { return (&call{Request: r}).wantsYAML() }
	Statuses         = statuses
	ClientPrefix     = clientPrefix
	CertificateNames = certificateNames
	NewFailures      = newFailures
	KnownHost        = knownHost
)

func (f *failures) Add(client string, now time.Time) time.Duration {
	return f.add(clientPrefix(client), now)
}

func (f *failures) Clients() int { return len(f.clients) }

const MaxClients = maxClients
