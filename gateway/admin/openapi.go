package admin

import (
	_ "embed"
	"net/http"
)

//go:generate go test -run TestTheDocument -update .

// document is generated from the endpoints, and from the types in package api
// with their comments.
//
//go:embed openapi.json
var document []byte

func (h *handler) openAPI(r *request) (reply, error) {
	write(r.writer, http.StatusOK, "application/json", document)
	return reply{}, nil
}
