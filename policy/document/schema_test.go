package document_test

import (
	"encoding/json"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/document"
)

// TestSchema keeps policy.schema.json, which editors load and
// the documentation links to.
func TestSchema(t *testing.T) {
	schema := document.Schema()
	if !json.Valid(schema) {
		t.Error("the schema is not JSON")
	}
	testkit.Golden(t, "policy.schema.json", string(schema))
}
