package ofrep_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// handlerConforms holds an answer to the schemas of OFREP 0.3 (open-feature/
// protocol, service/openapi.yaml), and to nothing being in it that they don't
// name. Two things there contradict themselves: integerFlag and floatFlag both
// take a whole number, and the items of a bulk answer can't be flagNotFound,
// which its example has.
func handlerConforms(t *testing.T, path string, status int, body []byte) {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Errorf("%s: %v\n%s", path, err, body)
		return
	}
	if !bytes.HasSuffix(body, []byte("}\n")) {
		t.Errorf("%s: the body doesn't end with its object: %q", path, body)
	}
	if err := handlerAnswer(path, status, answer); err != nil {
		t.Errorf("%s: not by the schema of OFREP for status %d: %v\n%s", path, status, err, body)
	}
}

func handlerAnswer(path string, status int, answer map[string]any) error {
	bulk := path == handlerBulkPath
	switch {
	case status == http.StatusOK && bulk:
		return handlerBulk(answer)
	case status == http.StatusOK:
		return handlerSuccess(answer)
	case status == http.StatusNotFound && answer["key"] != nil:
		return handlerFailure(answer, "FLAG_NOT_FOUND")
	case status == http.StatusBadRequest && bulk:
		return errors.Join(
			handlerMembers(answer, "errorCode", "errorDetails?"),
			handlerStrings(answer, "errorCode", "errorDetails"))
	case status == http.StatusBadRequest:
		return handlerFailure(answer, "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL")
	default: // generalErrorResponse, and what OFREP leaves open
		return errors.Join(
			handlerMembers(answer, "errorDetails?", "errorCode?", "key?"),
			handlerStrings(answer, "errorDetails", "errorCode", "key"))
	}
}

func handlerBulk(answer map[string]any) error {
	if err := handlerMembers(answer, "flags", "metadata?", "eventStreams?"); err != nil {
		return err
	}
	flags, ok := answer["flags"].([]any)
	if !ok {
		return errors.New("flags is no list")
	}
	var faults []error
	before := ""
	for i, item := range flags {
		flag, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("flags[%d] is no object", i)
		}
		var err error
		if _, failed := flag["errorCode"]; failed {
			err = handlerFailure(flag, "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL", "FLAG_NOT_FOUND")
		} else {
			err = handlerSuccess(flag)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("flags[%d]: %w", i, err))
		}
		if key := fmt.Sprint(flag["key"]); key < before {
			faults = append(faults, fmt.Errorf("%s comes after %s", key, before))
		} else {
			before = key
		}
	}
	return errors.Join(faults...)
}

func handlerSuccess(flag map[string]any) error {
	var fault error
	switch value, found := flag["value"]; value.(type) {
	case bool, string, float64, map[string]any:
	default:
		if found {
			fault = fmt.Errorf("the value %v is of no type that OFREP has", value)
		}
	}
	return errors.Join(fault,
		handlerMembers(flag, "key", "reason", "value?", "variant?", "metadata?"),
		handlerStrings(flag, "key", "reason", "variant"),
		handlerOneOf(flag, "reason", "STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"),
		handlerMetadata(flag))
}

func handlerFailure(flag map[string]any, codes ...string) error {
	return errors.Join(
		handlerMembers(flag, "key", "errorCode", "errorDetails?", "metadata?"),
		handlerStrings(flag, "key", "errorCode", "errorDetails"),
		handlerOneOf(flag, "errorCode", codes...),
		handlerMetadata(flag))
}

// handlerMembers wants the named members and no others; a ? marks those that
// may be missing.
func handlerMembers(object map[string]any, names ...string) error {
	rest := maps.Clone(object)
	for _, name := range names {
		name, optional := strings.CutSuffix(name, "?")
		if _, found := rest[name]; !found && !optional {
			return fmt.Errorf("%s is missing", name)
		}
		delete(rest, name)
	}
	if len(rest) > 0 {
		return fmt.Errorf("nobody knows %v", slices.Sorted(maps.Keys(rest)))
	}
	return nil
}

func handlerStrings(object map[string]any, names ...string) error {
	for _, name := range names {
		if value, found := object[name]; found {
			if _, ok := value.(string); !ok {
				return fmt.Errorf("%s is no string", name)
			}
		}
	}
	return nil
}

func handlerOneOf(object map[string]any, name string, values ...string) error {
	if value, found := object[name].(string); found && !slices.Contains(values, value) {
		return fmt.Errorf("%s is %q and none of %v", name, value, values)
	}
	return nil
}

func handlerMetadata(flag map[string]any) error {
	metadata, found := flag["metadata"]
	if !found {
		return nil
	}
	object, ok := metadata.(map[string]any)
	if !ok {
		return errors.New("metadata is no object")
	}
	for name, value := range object {
		switch value.(type) {
		case bool, string, float64:
		default:
			return fmt.Errorf("metadata.%s is %T", name, value)
		}
	}
	return nil
}

// The examples of OFREP's own document have to pass.
func TestHandlerSchemaKnowsTheExamplesOfOFREP(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		status int
		body   string
		fault  string
	}{
		"one flag":           {handlerOnePath, 200, `{"key": "discount-banner", "value": true, "reason": "TARGETING_MATCH", "variant": "enabled"}`, ""},
		"all flags":          {handlerBulkPath, 200, `{"flags": [{"key": "discount-banner", "value": true, "reason": "TARGETING_MATCH", "variant": "enabled"}, {"key": "non-existent-flag", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "Flag 'non-existent-flag' was not found"}, {"key": "theme-color", "value": "blue", "reason": "STATIC", "variant": "default"}], "eventStreams": [], "metadata": {"version": "v12"}}`, ""},
		"no reason":          {handlerOnePath, 200, `{"key": "a", "value": true}`, "reason is missing"},
		"no key":             {handlerOnePath, 400, `{"errorCode": "GENERAL"}`, "key is missing"},
		"a value of null":    {handlerOnePath, 200, `{"key": "a", "value": null, "reason": "STATIC"}`, "the value <nil> is of no type that OFREP has"},
		"a value that fails": {handlerOnePath, 400, `{"key": "a", "value": true, "errorCode": "GENERAL"}`, "nobody knows [value]"},
		"another code":       {handlerOnePath, 400, `{"key": "a", "errorCode": "TYPE_MISMATCH"}`, `errorCode is "TYPE_MISMATCH" and none of [PARSE_ERROR TARGETING_KEY_MISSING INVALID_CONTEXT GENERAL]`},
	} {
		t.Run(name, func(t *testing.T) {
			var answer map[string]any
			if err := json.Unmarshal([]byte(test.body), &answer); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := handlerAnswer(test.path, test.status, answer); err != nil {
				got = err.Error()
			}
			if got != test.fault {
				t.Errorf("got %q, not %q", got, test.fault)
			}
		})
	}
}
