package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// streamEvents sends what happens as server-sent events, until the client or the
// gateway goes away, or the client may not see it any more.
func (h *handler) streamEvents(c *call, _ []byte) error {
	if !h.streamSlots.try() {
		return refuseBusy("too many others follow the events")
	}
	defer h.streamSlots.release()
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	events := h.service.Events(ctx)

	header := c.writer.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	stream := stream{c.writer, http.NewResponseController(c.writer), h.eventTime}
	if stream.comment() != nil || c.Method == http.MethodHead {
		return nil
	}
	heartbeat := time.NewTicker(h.heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-heartbeat.C:
			if !h.mayStillView(c) {
				return nil
			}
			err = stream.comment()
		case event, more := <-events:
			if !more || !h.mayStillView(c) {
				return nil
			}
			err = stream.send(event, c.redact)
		}
		if err != nil {
			return nil // the client went away
		}
	}
}

// mayStillView reports whether who began to follow the events may still see
// them: a token may have been revoked since.
func (h *handler) mayStillView(c *call) bool {
	by, known := h.actorOf(c.Request)
	c.by = by // the roles may be others
	return known && view.check(by) == nil
}

// A stream is one of server-sent events. Each has a time to be taken.
type stream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	each time.Duration
}

// comment sends an empty comment, which keeps the connection open.
func (s stream) comment() error { return s.write(":\n\n") }

func (s stream) send(e api.Event, redact func([]byte) []byte) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, redact(data)); err != nil {
		return err
	}
	data = line.Bytes()
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", e.Type, data))
}

func (s stream) write(text string) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(s.each)) // else the server's own holds
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.out.Flush()
}
