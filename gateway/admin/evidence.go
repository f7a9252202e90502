package admin

import (
	"net/http"
	"time"

	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// streamEvidence sends a file of evidence as it is read from the ledger. What fails
// on the way ends the connection, so that nobody takes a part for the whole.
func (h *handler) streamEvidence(c *call, _ []byte) error {
	if !h.verifierSlots.try() {
		return refuseBusy("the ledger is being read for others")
	}
	defer h.verifierSlots.release()
	if len(h.service.Undisclosed(c.by)) > 0 {
		return refuse(changes.Forbidden, "the records name demands that you may not know of, and are evidence only as a whole", "ask somebody who has the role counsel")
	}
	head, records, err := h.service.Evidence(c.Context(), policy.Code(c.PathValue("code")), c.from, c.to)
	if err != nil {
		return err
	}
	header := c.writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if c.Method == http.MethodHead {
		return nil
	}
	out := http.NewResponseController(c.writer)
	err = evidence.Write(patientWriter{c.writer, out, h.eventTime}, head, records)
	if err != nil {
		if c.Context().Err() == nil {
			h.log.Error("evidence could not be sent", "jurisdiction", head.Jurisdiction, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A patientWriter gives a client some time for each piece, instead of the server's
// own for all.
type patientWriter struct {
	http.ResponseWriter
	out  *http.ResponseController
	each time.Duration
}

func (w patientWriter) Write(piece []byte) (int, error) {
	_ = w.out.SetWriteDeadline(time.Now().Add(w.each)) // else the server's own holds
	return w.ResponseWriter.Write(piece)
}
