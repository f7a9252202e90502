// Package httpbody ends connections on which there is a request body that
// nobody reads.
package httpbody

import (
	"net/http"
	"time"
)

// Linger is how long the rest of such a body is waited for: a client that is
// still sending may otherwise miss the answer.
const Linger = time.Second

// CloseUnread makes the answer to a request, whose body nobody reads, the last
// of its connection. It must be called before the answer is written. Without it
// net/http would read on before it answers, for as long as the client likes, to
// keep the connection; now it reads for the time of Linger.
//
// Over HTTP/2 and without a body there is nothing to do.
func CloseUnread(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(Linger)) // of a connection that is alive
	}
}
