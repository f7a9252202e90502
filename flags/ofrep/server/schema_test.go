package server_test

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

// expectConforming holds an answer to the schemas of OFREP 0.3 (open-feature/
// protocol, service/openapi.yaml), and to nothing being in it that they don't
// name. Two things there contradict themselves: integerFlag and floatFlag both
// take a whole number, and the items of a bulk answer can't be flagNotFound,
// which its example has.
func expectConforming(t *testing.T, path string, status int, body []byte) {
	t.Helper()
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Errorf("%s: %v\n%s", path, err, body)
		return
	}
	if !bytes.HasSuffix(body, []byte("}\n")) {
		t.Errorf("%s: the body doesn't end with its object: %q", path, body)
	}
	if err := checkAnswer(path, status, answer); err != nil {
		t.Errorf("%s: not by the schema of OFREP for status %d: %v\n%s", path, status, err, body)
	}
}

func checkAnswer(path string, status int, answer map[string]any) error {
	bulk := path == bulkPath
	switch {
	case status == http.StatusOK && bulk:
		return checkBulk(answer)
	case status == http.StatusOK:
		return checkSuccess(answer)
	case status == http.StatusNotFound && answer["key"] != nil:
		return checkFailure(answer, "FLAG_NOT_FOUND")
	case status == http.StatusBadRequest && bulk:
		return errors.Join(
			checkMembers(answer, "errorCode", "errorDetails?"),
			checkStrings(answer, "errorCode", "errorDetails"))
	case status == http.StatusBadRequest:
		return checkFailure(answer, "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL")
	default: // generalErrorResponse, and what OFREP leaves open
		return errors.Join(
			checkMembers(answer, "errorDetails?", "errorCode?", "key?"),
			checkStrings(answer, "errorDetails", "errorCode", "key"))
	}
}

func checkBulk(answer map[string]any) error {
	if err := checkMembers(answer, "flags", "metadata?", "eventStreams?"); err != nil {
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
			err = checkFailure(flag, "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL", "FLAG_NOT_FOUND")
		} else {
			err = checkSuccess(flag)
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

func checkSuccess(flag map[string]any) error {
	var fault error
	switch value, found := flag["value"]; value.(type) {
	case bool, string, float64, map[string]any:
	default:
		if found {
			fault = fmt.Errorf("the value %v is of no type that OFREP has", value)
		}
	}
	return errors.Join(fault,
		checkMembers(flag, "key", "reason", "value?", "variant?", "metadata?"),
		checkStrings(flag, "key", "reason", "variant"),
		checkOneOf(flag, "reason", "STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"),
		checkMetadata(flag))
}

func checkFailure(flag map[string]any, codes ...string) error {
	return errors.Join(
		checkMembers(flag, "key", "errorCode", "errorDetails?", "metadata?"),
		checkStrings(flag, "key", "errorCode", "errorDetails"),
		checkOneOf(flag, "errorCode", codes...),
		checkMetadata(flag))
}

// checkMembers wants the named members and no others; a ? marks those that
// may be missing.
func checkMembers(object map[string]any, names ...string) error {
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

func checkStrings(object map[string]any, names ...string) error {
	for _, name := range names {
		if value, found := object[name]; found {
			if _, ok := value.(string); !ok {
				return fmt.Errorf("%s is no string", name)
			}
		}
	}
	return nil
}

func checkOneOf(object map[string]any, name string, values ...string) error {
	if value, found := object[name].(string); found && !slices.Contains(values, value) {
		return fmt.Errorf("%s is %q and none of %v", name, value, values)
	}
	return nil
}

func checkMetadata(flag map[string]any) error {
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
func TestSchemaKnowsTheExamplesOfOFREP(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		status int
		body   string
		fault  string
	}{
		"one flag":           {onePath, 200, `{"key": "discount-banner", "value": true, "reason": "TARGETING_MATCH", "variant": "enabled"}`, ""},
		"all flags":          {bulkPath, 200, `{"flags": [{"key": "discount-banner", "value": true, "reason": "TARGETING_MATCH", "variant": "enabled"}, {"key": "non-existent-flag", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "Flag 'non-existent-flag' was not found"}, {"key": "theme-color", "value": "blue", "reason": "STATIC", "variant": "default"}], "eventStreams": [], "metadata": {"version": "v12"}}`, ""},
		"no reason":          {onePath, 200, `{"key": "a", "value": true}`, "reason is missing"},
		"no key":             {onePath, 400, `{"errorCode": "GENERAL"}`, "key is missing"},
		"a value of null":    {onePath, 200, `{"key": "a", "value": null, "reason": "STATIC"}`, "the value <nil> is of no type that OFREP has"},
		"a value that fails": {onePath, 400, `{"key": "a", "value": true, "errorCode": "GENERAL"}`, "nobody knows [value]"},
		"another code":       {onePath, 400, `{"key": "a", "errorCode": "TYPE_MISMATCH"}`, `errorCode is "TYPE_MISMATCH" and none of [PARSE_ERROR TARGETING_KEY_MISSING INVALID_CONTEXT GENERAL]`},
	} {
		t.Run(name, func(t *testing.T) {
			var answer map[string]any
			if err := json.Unmarshal([]byte(test.body), &answer); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := checkAnswer(test.path, test.status, answer); err != nil {
				got = err.Error()
			}
			if got != test.fault {
				t.Errorf("got %q, not %q", got, test.fault)
			}
		})
	}
}
