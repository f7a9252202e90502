package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// events sends what happens as server-sent events, until the client or the
// gateway goes away, or the client may not see it any more.
func (h *handler) events(r *request) (reply, error) {
	if !h.streamSlots.try() {
		return reply{}, busy("too many others follow the events")
	}
	defer h.streamSlots.giveBack()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	happening := h.service.Events(ctx)

	header := r.writer.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	stream := stream{r.writer, http.NewResponseController(r.writer), h.eventTime}
	if stream.comment() != nil || r.Method == http.MethodHead {
		return reply{}, nil
	}
	heartbeat := time.NewTicker(h.heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return reply{}, nil
		case <-heartbeat.C:
			if !h.stillMay(r) {
				return reply{}, nil
			}
			err = stream.comment()
		case event, more := <-happening:
			if !more || !h.stillMay(r) {
				return reply{}, nil
			}
			err = stream.send(event)
		}
		if err != nil {
			return reply{}, nil // the client went away
		}
	}
}

// stillMay says whether who began to follow the events may still see them: a
// token may have been revoked since.
func (h *handler) stillMay(r *request) bool {
	by, known := h.known(r.Request)
	return known && see.check(by) == nil
}

// A stream is one of server-sent events. Each has a time to be taken.
type stream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	each time.Duration
}

// comment sends a line that says nothing: the way is still open.
func (s stream) comment() error { return s.write(":\n\n") }

func (s stream) send(e api.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", e.Type, data))
}

func (s stream) write(text string) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(s.each)) // else the server's own holds
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.out.Flush()
}
