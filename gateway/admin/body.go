package admin

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
)

// The largest bodies, in bytes. Written as JSON a policy grows, seldom to twice
// its size.
const (
	smallBody  = 64 << 10
	policyBody = 2*strictyaml.Limit + 1<<20
)

// limits bound what all clients together can make the gateway hold.
type limits struct {
	largeBodies   int           // longer than smallBody, at a time
	slotWait      time.Duration // for one of them to end
	bodyTime      time.Duration // for a client to send a body
	streams       int           // of events
	heartbeat     time.Duration // between comments in a stream
	eventTime     time.Duration // for a client to take an event
	verifications int           // of the whole ledger
}

var defaults = limits{
	largeBodies:   4,
	slotWait:      5 * time.Second,
	bodyTime:      10 * time.Second,
	streams:       32,
	heartbeat:     15 * time.Second,
	eventTime:     10 * time.Second,
	verifications: 4,
}

// slots are how many may do something at a time.
type slots chan struct{}

// try takes a slot if there is one.
func (s slots) try() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait takes a slot, and waits for it if need be.
func (s slots) wait(limit time.Duration) bool {
	if s.try() {
		return true
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case s <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

func (s slots) release() { <-s }

// checkMedia returns an error for what is not uncompressed JSON. A browser asks nobody before it
// sends the types of HTML's forms to wherever a page says, so those never mean
// JSON.
func checkMedia(h http.Header) error {
	media, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, given := parameters["charset"]
	if err != nil || media != "application/json" || given && !strings.EqualFold(charset, "utf-8") || h.Get("Content-Encoding") != "" {
		return refuse(wrongMediaType, "Content-Type or Content-Encoding is not that of plain JSON", "send it with Content-Type: application/json, in UTF-8, and not compressed")
	}
	return nil
}

// body reads a request's body, of at most limit bytes, within a time; a limit of
// 0 is no body at all. One that is large needs a slot, which the caller has until
// it calls release: so all the memory that clients can take is that of so many
// large bodies, and of a small one for each.
func (h *handler) body(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	release = func() {}
	arriving := http.NewResponseController(w)
	if limit == 0 {
		if r.ContentLength != 0 {
			return nil, release, refuse(wrongBody, "this request takes no body", "send it without")
		}
		_ = arriving.SetReadDeadline(time.Time{}) // as below
		return nil, release, nil
	}
	if err := checkMedia(r.Header); err != nil {
		return nil, release, err
	}
	if r.ContentLength > limit {
		return nil, release, refuseLarge(limit)
	}
	deadline := func() { _ = arriving.SetReadDeadline(time.Now().Add(h.bodyTime)) } // else the server's own holds
	source := http.MaxBytesReader(w, r.Body, limit)
	large := r.ContentLength > smallBody
	if !large {
		deadline()
		if body, err = io.ReadAll(io.LimitReader(source, smallBody+1)); err != nil {
			return nil, release, readError(err, limit)
		}
		large = len(body) > smallBody
	}
	if large {
		if !h.largeSlots.wait(h.slotWait) {
			return nil, release, refuseBusy("too many policies are on their way at the same time")
		}
		release = h.largeSlots.release
		deadline()
		if body, err = readOn(body, source, r.ContentLength); err != nil {
			return nil, release, readError(err, limit)
		}
	}
	// The server reads on to notice when the client goes away; a deadline
	// would look like that.
	_ = arriving.SetReadDeadline(time.Time{})
	return body, release, nil
}

// readOn returns what was read with the rest of it. length is of both together,
// -1 if it isn't known.
func readOn(read []byte, rest io.Reader, length int64) ([]byte, error) {
	if length >= 0 {
		body := make([]byte, length)
		_, err := io.ReadFull(rest, body[copy(body, read):])
		return body, err
	}
	more, err := io.ReadAll(rest)
	return append(read, more...), err
}

// readError returns what is wrong with a body that wasn't read as a whole.
func readError(err error, limit int64) error {
	if _, larger := errors.AsType[*http.MaxBytesError](err); larger {
		return refuseLarge(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return refuse(tooSlow, "the body took too long to arrive", "send it again, over a faster connection")
	}
	return refuse(wrongBody, "the body did not arrive as a whole", "send it again")
}

func refuseLarge(limit int64) error {
	size := "17 MiB"
	if limit == smallBody {
		size = "64 KiB"
	}
	return refuse(tooLarge, "the body is longer than "+size, "send only what the API asks for")
}
