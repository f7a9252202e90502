package request

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// recoverPanic ends a request whose handling panicked, without what net/http
// would do: log the client's address.
func (h *Handler) recoverPanic(a *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the way to cut off an answer; not logged
	}
	httpbody.CloseUnread(a, r)
	h.o.Metrics.Panics.Inc()
	h.o.Log.Error("a request made the gateway panic; please report this", "request_id", a.id[0], "panic", describePanic(p), "stack", stack())
	panic(http.ErrAbortHandler)
}

// describePanic returns what went wrong, unless it might quote a client.
func describePanic(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// stack returns where the goroutine is, from the panic outwards, as one line a
// call. Not as debug.Stack does: that prints arguments, and of an address the
// words that it is made of.
func stack() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers[:])])
	var b strings.Builder
	panicked := false
	for {
		frame, more := frames.Next()
		if panicked {
			fmt.Fprintf(&b, "%s %s:%d\n", frame.Function, frame.File, frame.Line)
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return b.String()
		}
	}
}
