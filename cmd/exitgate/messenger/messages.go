package messenger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
)

// A Message is what somebody said.
type Message struct {
	ID   int       `json:"id"` // from 1, in order of sending
	From string    `json:"from"`
	Text string    `json:"text"`
	Sent time.Time `json:"sent"`
}

// post keeps a message and hands it to all who listen. Who listens too slowly
// misses it.
func (a *App) post(from, text string) Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastID++
	m := Message{ID: a.lastID, From: from, Text: text, Sent: a.now().UTC()}
	if len(a.messages) == maxMessages {
		a.messages = slices.Delete(a.messages, 0, 1)
	}
	a.messages = append(a.messages, m)
	for l := range a.listeners {
		select {
		case l <- m:
		default:
		}
	}
	return m
}

// recent returns a copy of the messages, the oldest first.
func (a *App) recent() []Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.messages)
}

func (a *App) list(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		market
		Messages []Message `json:"messages"`
	}{marketOf(r), a.recent()})
}

// send posts the form field text.
func (a *App) send(w http.ResponseWriter, r *http.Request) {
	if text, ok := formValue(w, r, "text", maxBody); ok {
		_, name := a.account(r)
		writeJSON(w, http.StatusCreated, a.post(cmp.Or(name, "guest"), text))
	}
}

// listening gives next the messages that are posted while it runs.
func (a *App) listening(next func(http.ResponseWriter, *http.Request, <-chan Message)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		messages := make(chan Message, 16)
		a.mu.Lock()
		full := len(a.listeners) >= maxListeners
		if !full {
			a.listeners[messages] = struct{}{}
		}
		a.mu.Unlock()
		if full {
			http.Error(w, "Too many listen already.", http.StatusServiceUnavailable)
			return
		}
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.listeners, messages)
		}()
		next(w, r, messages)
	}
}

// live is a WebSocket: a text that comes in is posted, a message that anybody
// posts goes out as JSON.
func (a *App) live(w http.ResponseWriter, r *http.Request, messages <-chan Message) {
	// Behind a gateway, Origin and Host may differ. What their comparison
	// guards against, the cookie's SameSite does.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxBody)
	_, name := a.account(r)

	ctx, gone := context.WithCancel(context.Background())
	go func() {
		defer gone()
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				return
			}
			if len(text) > 0 {
				a.post(cmp.Or(name, "guest"), string(text))
			}
		}
	}()
	for {
		select {
		case m := <-messages:
			slow, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := conn.Write(slow, websocket.MessageText, marshal(m))
			cancel()
			if err != nil {
				return
			}
		case <-a.closing.Done():
			conn.Close(websocket.StatusGoingAway, "The messenger ends.")
			return
		case <-ctx.Done():
			return
		}
	}
}

// events is an endless stream of server-sent events, one a message.
func (a *App) events(w http.ResponseWriter, r *http.Request, messages <-chan Message) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	stream := http.NewResponseController(w)
	stream.Flush()
	for {
		select {
		case m := <-messages:
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", m.ID, marshal(m))
			if stream.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.closing.Done():
			return
		}
	}
}

func marshal(m Message) []byte {
	data, _ := json.Marshal(m) // a Message always marshals
	return data
}
