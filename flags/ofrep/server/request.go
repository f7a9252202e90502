package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/exitgate/exitgate/internal/strictjson"
)

const (
	maxBody  = 64 << 10 // bytes
	maxKey   = 256      // bytes
	maxDepth = 32       // levels of objects and lists, the context being the first

	// Beyond this, float64 no longer holds every integer.
	maxExact = 1 << 53
)

// A rejection is why a request is not evaluated, in OpenFeature's codes:
// PARSE_ERROR for what is no JSON object or no key, INVALID_CONTEXT for an
// object whose context can't be used as it is.
type rejection struct{ code, details string }

func (r *rejection) Error() string { return r.details }

func parseFailure(format string, args ...any) error {
	return &rejection{parseError, fmt.Sprintf(format, args...)}
}

func badContext(format string, args ...any) error {
	return &rejection{invalidContext, fmt.Sprintf(format, args...)}
}

// post lets only those requests through that a client of OFREP makes.
func post(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			writeError(w, http.StatusMethodNotAllowed, "send a POST with the evaluation context as its body")
			return
		}
		// A browser asks nobody before it sends the types of HTML's forms
		// to wherever a page says, so those never mean JSON.
		if media := r.Header.Get("Content-Type"); media != "" {
			if name, _, err := mime.ParseMediaType(media); err != nil || name != "application/json" {
				writeError(w, http.StatusUnsupportedMediaType, "send the body with Content-Type: application/json")
				return
			}
		}
		next(w, r)
	}
}

func checkKey(key string) error {
	switch {
	case key == "":
		return parseFailure("the path ends without a flag: add its key, or leave out the last slash for all flags")
	case len(key) > maxKey:
		return parseFailure("the flag's key is longer than %d bytes: shorten it", maxKey)
	case !utf8.ValidString(key):
		return parseFailure("the flag's key is not UTF-8: percent-encode its UTF-8 bytes")
	}
	return nil
}

// truncateKey makes of what is no key something that an answer can name.
func truncateKey(key string) string {
	return strings.ToValidUTF8(key[:min(len(key), maxKey)], "\uFFFD")
}

func readContext(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		// Not 413: the clients for JavaScript show the details of 400, 404
		// and 500 only.
		return nil, parseFailure("the body is longer than %d bytes: send only the attributes that flags are targeted by", maxBody)
	}
	if err != nil {
		return nil, parseFailure("the body did not arrive as a whole: send it again")
	}
	return parseContext(body)
}

var contextOptions = strictjson.Options{Depth: 1 + maxDepth, Numbers: strictjson.NumbersBy(readNumber)}

// parseContext returns the context in the body of a request. It is empty if
// the body is, or has none: a flag that needs to know the user can say so by
// itself, with TARGETING_KEY_MISSING, and most don't.
func parseContext(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	var request map[string]any
	if err := contextOptions.Unmarshal(body, &request); err != nil {
		return nil, rejectionOf(err.(*strictjson.Error))
	}
	if request == nil {
		return nil, errNoObject
	}
	switch context := request["context"].(type) {
	case map[string]any:
		if key, found := context["targetingKey"]; found {
			if _, ok := key.(string); !ok {
				return nil, badContext("targetingKey is not a string: send it as one, or leave it out")
			}
		}
		return context, nil
	case nil:
		return map[string]any{}, nil
	default:
		return nil, badContext(`context is not an object: send {"context": {"targetingKey": "...", ...}}`)
	}
}

var errNoObject = parseFailure(`the body is not a JSON object: send {"context": {...}}`)

// rejectionOf says why a body is not read, and what to do about it.
func rejectionOf(err *strictjson.Error) error {
	switch err.Kind {
	case strictjson.Encoding:
		return parseFailure("the body is not UTF-8: send JSON in UTF-8, without compression")
	case strictjson.Duplicate:
		return badContext("%s is there twice: send it once", err.Path)
	case strictjson.Limit:
		return badContext("the context is nested deeper than %d levels: flatten it", maxDepth)
	case strictjson.Value:
		return badContext("%s is %v: send it as a string", err.Path, err.Err)
	case strictjson.Type:
		return errNoObject
	}
	return parseFailure("the body is not JSON: %v", err)
}

// readNumber returns a number as float64, if that changes nothing about it.
func readNumber(literal string) (any, error) {
	if integer := !strings.ContainsAny(literal, ".eE"); integer {
		if i, err := strconv.ParseInt(literal, 10, 64); err != nil || i < -maxExact || i > maxExact {
			return nil, errors.New("an integer beyond 2^53, which would be changed on the way")
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return nil, errors.New("a number beyond what float64 holds")
	}
	return f, nil
}
