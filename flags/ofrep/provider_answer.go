package ofrep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/open-feature/go-sdk/openfeature"
)

const (
	// maxAnswer bounds the body of an answer, in bytes.
	maxAnswer = 1 << 20
	// maxLevels bounds how deep objects and lists are nested in an answer.
	maxLevels = 32
	// maxKeptString and maxWord bound what a kept flag takes of memory, for
	// its value and for its reason and variant, in bytes.
	maxKeptString = 1 << 10
	maxWord       = 256
)

// readBulk reads bulkEvaluationSuccess of OFREP's openapi.yaml, and returns the
// keys in it for which there is a flag. If wanted is not nil, only these flags
// are returned, and of them only booleans, numbers, strings and errors.
//
// The answer is good or bad as a whole. A flag for which the server reports an
// error, or whose value is out of bounds, doesn't make it bad.
func readBulk(body []byte, wanted *keySet) (flags map[string]outcome, keys []string, err error) {
	members, err := readObject(body)
	if err != nil {
		return nil, nil, err
	}
	list, found := members["flags"]
	if !found || !begins(list, '[') {
		return nil, nil, errors.New(`it has no list "flags"`)
	}
	flags = map[string]outcome{}
	seen := map[string]struct{}{}
	decoder := json.NewDecoder(bytes.NewReader(list))
	if _, err := decoder.Token(); err != nil {
		return nil, nil, errors.New(`it has no list "flags"`)
	}
	for at := 1; decoder.More(); at++ {
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			return nil, nil, fmt.Errorf("flag %d is not JSON", at)
		}
		key, of, err := readEvaluation(text, wanted)
		if err != nil {
			return nil, nil, fmt.Errorf("flag %d: %w", at, err)
		}
		if key == "" {
			return nil, nil, fmt.Errorf("flag %d has no key", at)
		}
		if _, twice := seen[key]; twice {
			return nil, nil, fmt.Errorf("flag %d has the key of one before it", at)
		}
		seen[key] = struct{}{}
		if of.code != openfeature.FlagNotFoundCode {
			keys = append(keys, key)
		}
		if wanted == nil || wanted.has(key) {
			flags[key] = of
		}
	}
	return flags, keys, nil
}

// readSingle reads serverEvaluationSuccess, evaluationFailure or flagNotFound.
// The key is optional in it, but no other will do.
func readSingle(body []byte, key string) (outcome, error) {
	if err := checkAnswer(body); err != nil {
		return outcome{}, err
	}
	found, of, err := readEvaluation(body, nil)
	if err == nil && found != "" && found != key {
		err = errors.New("it is for another flag")
	}
	return of, err
}

// readFailure returns the code in bulkEvaluationFailure, evaluationFailure or
// flagNotFound.
func readFailure(body []byte) (openfeature.ErrorCode, bool) {
	members, err := readObject(body)
	if err != nil {
		return "", false
	}
	code, err := text(members, "errorCode")
	return openfeature.ErrorCode(code), err == nil && code != ""
}

// readObject returns the members of the object that an answer is.
//
// They are looked up by their exact names from here on: encoding/json finds a
// field whatever the case, so that "Value" could stand in for "value".
func readObject(body []byte) (map[string]json.RawMessage, error) {
	if err := checkAnswer(body); err != nil {
		return nil, err
	}
	return membersOf(body)
}

func membersOf(text json.RawMessage) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if !begins(text, '{') || json.Unmarshal(text, &members) != nil {
		return nil, errors.New("it is not an object")
	}
	return members, nil
}

// readEvaluation reads one evaluation, of which checkAnswer has been passed.
// What is null is as if it were not there: servers write what they don't have
// so. errorDetails are dropped: they may repeat what the server was asked with.
func readEvaluation(of json.RawMessage, wanted *keySet) (key string, result outcome, err error) {
	members, err := membersOf(of)
	if err != nil {
		return "", result, err
	}
	var code, reason, variant, details string
	for _, member := range []struct {
		name string
		into *string
	}{{"key", &key}, {"reason", &reason}, {"variant", &variant}, {"errorCode", &code}, {"errorDetails", &details}} {
		if *member.into, err = text(members, member.name); err != nil {
			return "", result, err
		}
	}
	metadata, err := scalars(members["metadata"])
	if err != nil {
		return "", result, err
	}
	if wanted != nil && !wanted.has(key) {
		return key, outcome{code: openfeature.ErrorCode(code)}, nil
	}
	if code != "" {
		return key, reported(openfeature.ErrorCode(code)), nil
	}

	result.value = decoded(members["value"])
	result.reason = openfeature.Reason(reason)
	result.variant = variant
	switch {
	case result.value == nil && result.reason != openfeature.DisabledReason:
		// codeDefaultFlag: the default in the caller's code. Whatever the
		// server calls it, it must not look like a value that it chose.
		result.reason = openfeature.DefaultReason
	case reason == "" || len(reason) > maxWord:
		result.reason = openfeature.UnknownReason
	}
	if len(variant) > maxWord {
		result.variant = ""
	}
	if wanted == nil {
		result.metadata = metadata
		return key, result, nil
	}
	switch value := result.value.(type) {
	case map[string]any, []any:
		return key, failed(openfeature.TypeMismatchCode, "the flag's value is %s: for whole jurisdictions only booleans, numbers and strings are kept", kindOf(value)), nil
	case string:
		if len(value) > maxKeptString {
			return key, failed(openfeature.ParseErrorCode, "the flag's value is a string of %d bytes: make it no longer than %d", len(value), maxKeptString), nil
		}
	}
	return key, result, nil
}

// reported returns the outcome for an error code of the server.
func reported(code openfeature.ErrorCode) outcome {
	switch code {
	case openfeature.FlagNotFoundCode:
		return notFound
	case openfeature.ProviderNotReadyCode:
		return failed(code, "the flag server is not ready: look into its log")
	case openfeature.ParseErrorCode:
		return failed(code, "the flag server can't read the flag's definition: correct it there")
	case openfeature.TypeMismatchCode:
		return failed(code, "the flag server finds the flag's value to be of another type: correct it there")
	case openfeature.TargetingKeyMissingCode:
		return failed(code, "the flag server wants a targeting key: add one to the context")
	case openfeature.InvalidContextCode:
		return failed(code, "the flag server can't use the context: look into its log")
	case openfeature.GeneralCode, openfeature.ProviderFatalCode:
		return failed(openfeature.GeneralCode, "the flag server failed to evaluate the flag: look into its log")
	default:
		return failed(openfeature.GeneralCode, "the flag server reports an error by a code that OpenFeature does not have: look into its log")
	}
}

// text returns a member that is a string, "" if it is missing.
func text(members map[string]json.RawMessage, name string) (string, error) {
	raw := members[name]
	if absent(raw) {
		return "", nil
	}
	var text string
	if !begins(raw, '"') || json.Unmarshal(raw, &text) != nil {
		return "", fmt.Errorf("its %q is not a string", name)
	}
	return text, nil
}

// scalars returns the metadata of a flag: booleans, strings and numbers.
func scalars(raw json.RawMessage) (openfeature.FlagMetadata, error) {
	if absent(raw) {
		return nil, nil
	}
	members, err := membersOf(raw)
	if err != nil {
		return nil, errors.New(`its "metadata" is not an object`)
	}
	metadata := openfeature.FlagMetadata{}
	for name, member := range members {
		switch value := decoded(member).(type) {
		case bool, string:
			metadata[name] = value
		case numeral:
			if value, err := asAny(value); err == nil {
				metadata[name] = value
			}
		}
	}
	return metadata, nil
}

// decoded returns a value, nil for null and for none.
func decoded(raw json.RawMessage) any {
	if absent(raw) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	return withNumerals(value)
}

func withNumerals(value any) any {
	switch value := value.(type) {
	case json.Number:
		return numeral(value)
	case map[string]any:
		for name, member := range value {
			value[name] = withNumerals(member)
		}
	case []any:
		for i, member := range value {
			value[i] = withNumerals(member)
		}
	}
	return value
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == 'n' }

// begins says what a value is, which its first byte tells.
func begins(raw json.RawMessage, with byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == with
}

// checkAnswer returns why a body is no JSON that everybody reads alike: names
// twice in an object, of which encoding/json would take the last, numbers that
// no float64 holds, and bytes that are no UTF-8, which it would replace.
func checkAnswer(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return errors.New("it is empty")
	case !utf8.Valid(body):
		return errors.New("it is not UTF-8")
	case !json.Valid(body):
		return errors.New("it is not JSON, or only a part of it")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := checkValue(decoder, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func checkValue(decoder *json.Decoder, level int) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Number:
		if f, err := strconv.ParseFloat(token.String(), 64); err != nil || math.IsInf(f, 0) {
			return errors.New("it has a number that a float64 can't hold")
		}
	case json.Delim:
		if level == maxLevels {
			return fmt.Errorf("it is nested deeper than %d levels", maxLevels)
		}
		names := map[string]struct{}{}
		for decoder.More() {
			if token == '{' {
				name, err := decoder.Token()
				if err != nil {
					return err
				}
				if _, twice := names[name.(string)]; twice {
					return errors.New("it has the same name twice in an object")
				}
				names[name.(string)] = struct{}{}
			}
			if err := checkValue(decoder, level+1); err != nil {
				return err
			}
		}
		_, err := decoder.Token()
		return err
	}
	return nil
}
