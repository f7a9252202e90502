package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strings"

	"github.com/exitgate/exitgate/flags/ofrep"
)

// The error codes that OFREP 0.3 has. OpenFeature has more, such as
// TYPE_MISMATCH, which only the client can find: a request names no type.
const (
	parseError          = "PARSE_ERROR"
	targetingKeyMissing = "TARGETING_KEY_MISSING"
	invalidContext      = "INVALID_CONTEXT"
	general             = "GENERAL"
	flagNotFound        = "FLAG_NOT_FOUND"
)

// conforming brings an evaluation into the form that OFREP's schema has for
// it: evaluationSuccess, evaluationFailure or flagNotFound. A failure carries
// no value, whatever was evaluated. The status is for an answer with this flag
// alone. 500 is for what is this side's fault; the guard's GENERAL is not, and
// to ask again as after a 500 won't help.
func conforming(e ofrep.Evaluation) (ofrep.Evaluation, int) {
	e.Metadata = primitiveMetadata(e.Metadata)
	if e.ErrorCode == "" && isCarried(e.Value) {
		e.Reason, e.ErrorDetails = ofrepReason(e.Reason), ""
		return e, http.StatusOK
	}
	status := http.StatusBadRequest
	switch e.ErrorCode {
	case "":
		e.ErrorCode, e.ErrorDetails = general, "OFREP carries no lists and no null: make the flag's value an object"
	case parseError, targetingKeyMissing, invalidContext, general:
	case flagNotFound:
		status = http.StatusNotFound
	case "PROVIDER_NOT_READY", "PROVIDER_FATAL":
		status = http.StatusInternalServerError
		fallthrough
	default:
		e.ErrorCode, e.ErrorDetails = general, strings.TrimSuffix(e.ErrorCode+": "+e.ErrorDetails, ": ")
	}
	e.Value, e.Reason, e.Variant = nil, "", ""
	return e, status
}

// isCarried reports whether a success can have the value. To have none is fine.
func isCarried(value json.RawMessage) bool {
	text := bytes.TrimSpace(value)
	return len(value) == 0 || len(text) > 0 && text[0] != '[' && text[0] != 'n' && json.Valid(text)
}

// ofrepReason returns one of the reasons that OFREP has: no DEFAULT, CACHED or STALE.
func ofrepReason(r string) string {
	switch r {
	case "STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED":
		return r
	default:
		return "UNKNOWN"
	}
}

// primitiveMetadata leaves out of metadata what OFREP has no room for.
func primitiveMetadata(metadata map[string]any) map[string]any {
	metadata = maps.Clone(metadata)
	maps.DeleteFunc(metadata, func(_ string, value any) bool {
		switch v := value.(type) {
		case float64:
			return math.IsNaN(v) || math.IsInf(v, 0)
		case bool, string, int, int64:
			return false
		}
		return true
	})
	return metadata
}

// A failure is why no flag could be evaluated at all.
type failure struct {
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorDetails string `json:"errorDetails"`
}

func writeFailure(w http.ResponseWriter, key string, err error) {
	write(w, http.StatusBadRequest, encode(ofrep.Evaluation{Key: key, ErrorCode: codeOf(err), ErrorDetails: err.Error()}))
}

func writeBulkFailure(w http.ResponseWriter, status int, err error) {
	write(w, status, encode(failure{codeOf(err), err.Error()}))
}

// writeError answers what is no evaluation.
func writeError(w http.ResponseWriter, status int, details string) {
	write(w, status, encode(failure{ErrorDetails: details}))
}

func codeOf(err error) string {
	if r, ok := errors.AsType[*rejection](err); ok {
		return r.code
	}
	return general
}

func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // conforming left nothing that can't be encoded
	}
	return b.Bytes()
}

// write sends a body of JSON. What it says depends on the request's body, which
// no cache looks at, and may be about one person: nobody stores it.
func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away
}

// entityTag returns a strong tag for a whole body: two contexts have the same
// one only where they get the same flags. Clients rely on it, as they send the
// last tag they got also after their context has changed.
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
}

// matches reports whether If-None-Match names a tag (RFC 9110, section 13.1.2).
// Whether as a weak one makes no difference, and within what is no list of tags
// a tag is one, too: nobody writes one by chance.
func matches(ifNoneMatch []string, tag string) bool {
	list := strings.Join(ifNoneMatch, ",")
	return strings.TrimSpace(list) == "*" || strings.Contains(list, tag)
}
