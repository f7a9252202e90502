package admin

import (
	_ "embed"
	"net/http"
)

//go:generate env UPDATE_GOLDEN=1 go test -run ^TestOpenAPI$ .

// document is generated from the endpoints, and from the types in package api
// with their comments.
//
//go:embed openapi.json
var document []byte

func sendDocument(c *call, _ []byte) error {
	write(c.writer, http.StatusOK, "application/json", document)
	return nil
}
