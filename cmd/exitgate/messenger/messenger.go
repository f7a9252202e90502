// Package messenger is the sample app that "exitgate demo" puts behind the
// gateway: a small messenger with accounts, an API, a WebSocket, server-sent
// events and a gRPC method. It keeps everything in memory, within limits, and
// shows on its page what the gateway told it about the client's market.
package messenger

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	maxBody      = 64 << 10 // bytes
	maxName      = 64       // bytes
	maxAccounts  = 1000
	maxMessages  = 1000 // the oldest go first
	maxListeners = 1000
)

// App is the messenger. Its methods may be called concurrently.
type App struct {
	now    func() time.Time
	mux    *http.ServeMux
	grpc   *grpc.Server
	server *http.Server

	closing context.Context // done when Close was called
	close   context.CancelFunc

	mu        sync.Mutex
	accounts  map[string]string // key -> name
	messages  []Message
	lastID    int
	listeners map[chan Message]struct{}
}

// New returns a messenger without accounts, with one message of welcome. The
// clock now dates its messages.
func New(now func() time.Time) *App {
	a := &App{
		now:       now,
		mux:       http.NewServeMux(),
		accounts:  make(map[string]string),
		listeners: make(map[chan Message]struct{}),
	}
	a.closing, a.close = context.WithCancel(context.Background())
	a.grpc = newGRPCServer(a)

	a.mux.HandleFunc("GET /{$}", a.page)
	a.mux.HandleFunc("GET /legal/", legal)
	a.mux.HandleFunc("POST /signup", a.signUp)
	a.mux.HandleFunc("POST /login", a.signIn)
	a.mux.HandleFunc("GET /account/export", a.signedIn(a.export))
	a.mux.HandleFunc("POST /account/delete", a.signedIn(a.deleteAccount))
	a.mux.HandleFunc("GET /api/messages", a.list)
	a.mux.HandleFunc("POST /api/messages", a.send)
	a.mux.HandleFunc("GET /api/live", a.listening(a.live))
	a.mux.HandleFunc("GET /api/events", a.listening(a.events))

	a.server = &http.Server{
		Handler:           a,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // its lines carry addresses
	}
	a.server.Protocols.SetHTTP1(true)
	a.server.Protocols.SetUnencryptedHTTP2(true)

	a.post("messenger", "Welcome! Say something.")
	return a
}

// ServeHTTP answers a request of the page, the API or, over HTTP/2, gRPC.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		a.grpc.ServeHTTP(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.mux.ServeHTTP(w, r)
}

// Serve answers HTTP/1.1 and HTTP/2, both without TLS, on l until Close is
// called; then it returns nil.
func (a *App) Serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the sample app: %w", err)
	}
	return nil
}

// Close ends the app at once, live connections included.
func (a *App) Close() error {
	a.close()
	err := a.server.Close()
	a.grpc.Stop()
	return err
}

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// A market is what the gateway told the app about a request.
type market struct {
	Jurisdiction string `json:"jurisdiction"` // empty when no gateway is in front
	Phase        string `json:"phase"`
}

func marketOf(r *http.Request) market {
	return market{r.Header.Get("Market-Jurisdiction"), r.Header.Get("Market-Phase")}
}

func (a *App) page(w http.ResponseWriter, r *http.Request) {
	m := marketOf(r)
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		pageTemplate.Execute(w, m) // fails only when the client is gone
		return
	}
	if m.Jurisdiction == "" {
		io.WriteString(w, "Hello from the messenger. No gateway told me where you are.\n")
		return
	}
	fmt.Fprintf(w, "Hello from the messenger. Your jurisdiction is %s, its phase %s.\n", m.Jurisdiction, m.Phase)
}

func legal(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "This messenger is a sample. It keeps nothing beyond its own end.\n")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // fails only when the client is gone
}

// formValue returns a form field of 1 to limit bytes, or answers the request
// itself and returns false.
func formValue(w http.ResponseWriter, r *http.Request, name string, limit int) (string, bool) {
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, "The request is too large.", http.StatusRequestEntityTooLarge)
		} else {
			http.Error(w, "The form can't be read.", http.StatusBadRequest)
		}
		return "", false
	}
	value := r.PostForm.Get(name)
	if value == "" || len(value) > limit {
		http.Error(w, fmt.Sprintf("Want the form field %s with 1 to %d bytes.", name, limit), http.StatusBadRequest)
		return "", false
	}
	return value, true
}
