package client

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/internal/strictjson"
)

const (
	// maxAnswer bounds the body of an answer, in bytes.
	maxAnswer = 1 << 20
	// maxLevels bounds how deep objects and lists are nested in an answer,
	// and maxValues how many values are in it: in memory, the shortest of
	// them take thirty times their bytes.
	maxLevels = 32
	maxValues = 100_000
	// maxKeptString and maxWord bound what a kept flag takes of memory, for
	// its value and for its reason and variant, in bytes.
	maxCachedString = 1 << 10
	maxWord         = 256
)

// readBulk reads bulkEvaluationSuccess of OFREP's openapi.yaml, and returns the
// keys in it for which there is a flag. If wanted is not nil, only these flags
// are returned, and of them only booleans, numbers, strings and errors.
//
// The answer is good or bad as a whole. A flag for which the server reports an
// error, or whose value is out of bounds, doesn't make it bad.
func readBulk(body []byte, wanted *keySet) (flags map[string]outcome, keys []string, err error) {
	members, err := readAnswer(body)
	if err != nil {
		return nil, nil, err
	}
	list, ok := members["flags"].([]any)
	if !ok {
		return nil, nil, errors.New(`it has no list "flags"`)
	}
	flags = map[string]outcome{}
	seen := make(map[string]struct{}, len(list))
	for i, of := range list {
		key, result, err := readEvaluation(of)
		if err != nil {
			return nil, nil, fmt.Errorf("flag %d: %w", i+1, err)
		}
		if key == "" {
			return nil, nil, fmt.Errorf("flag %d has no key", i+1)
		}
		if _, twice := seen[key]; twice {
			return nil, nil, fmt.Errorf("flag %d has the key of one before it", i+1)
		}
		seen[key] = struct{}{}
		if result.code != openfeature.FlagNotFoundCode {
			keys = append(keys, key)
		}
		switch {
		case wanted == nil:
			flags[key] = result
		case wanted.has(key):
			flags[key] = result.forCache()
		}
	}
	return flags, keys, nil
}

// readSingle reads serverEvaluationSuccess, evaluationFailure or flagNotFound.
// The key is optional in it, but no other will do.
func readSingle(body []byte, key string) (outcome, error) {
	members, err := readAnswer(body)
	if err != nil {
		return outcome{}, err
	}
	found, result, err := readEvaluation(members)
	if err == nil && found != "" && found != key {
		err = errors.New("it is for another flag")
	}
	return result, err
}

// readFailure returns the code in bulkEvaluationFailure, evaluationFailure or
// flagNotFound.
func readFailure(body []byte) (openfeature.ErrorCode, bool) {
	members, err := readAnswer(body)
	if err != nil {
		return "", false
	}
	code, ok := members["errorCode"].(string)
	return openfeature.ErrorCode(code), ok && code != ""
}

// readEvaluation reads one evaluation. What is null is as if it were not there:
// servers write what they don't have so. errorDetails are dropped, as they may
// repeat what the server was asked with.
func readEvaluation(of any) (key string, result outcome, err error) {
	members, ok := of.(map[string]any)
	if !ok {
		return "", result, errors.New("it is not an object")
	}
	var code, reason, details string
	for _, member := range []struct {
		name string
		into *string
	}{{"key", &key}, {"reason", &reason}, {"variant", &result.variant}, {"errorCode", &code}, {"errorDetails", &details}} {
		if *member.into, ok = members[member.name].(string); !ok && members[member.name] != nil {
			return "", result, fmt.Errorf("its %q is not a string", member.name)
		}
	}
	metadata, ok := members["metadata"].(map[string]any)
	if !ok && members["metadata"] != nil {
		return "", result, errors.New(`its "metadata" is not an object`)
	}
	if code != "" {
		return key, errorOutcome(openfeature.ErrorCode(code)), nil
	}

	result.value = members["value"]
	result.metadata = scalars(metadata)
	result.reason = openfeature.Reason(reason)
	switch {
	case result.value == nil && result.reason != openfeature.DisabledReason:
		// codeDefaultFlag: the default in the caller's code. Whatever the
		// server calls it, it must not look like a value that it chose.
		result.reason = openfeature.DefaultReason
	case reason == "" || len(reason) > maxWord:
		result.reason = openfeature.UnknownReason
	}
	if len(result.variant) > maxWord {
		result.variant = ""
	}
	return key, result, nil
}

// forCache bounds what an outcome takes of memory.
func (o outcome) forCache() outcome {
	switch value := o.value.(type) {
	case map[string]any, []any:
		return failedOutcome(openfeature.TypeMismatchCode, "the flag's value is %s: for whole jurisdictions only booleans, numbers and strings are kept", kindOf(value))
	case string:
		if len(value) > maxCachedString {
			return failedOutcome(openfeature.ParseErrorCode, "the flag's value is a string of %d bytes: make it no longer than %d", len(value), maxCachedString)
		}
	}
	o.metadata = nil
	return o
}

// scalars returns of metadata what OFREP has in it: booleans, strings and
// numbers.
func scalars(members map[string]any) openfeature.FlagMetadata {
	if members == nil {
		return nil
	}
	metadata := openfeature.FlagMetadata{}
	for name, member := range members {
		switch member.(type) {
		case bool, string, number:
			if value, err := asAny(member); err == nil {
				metadata[name] = value
			}
		}
	}
	return metadata
}

// errorOutcome returns the outcome for an error code of the server.
func errorOutcome(code openfeature.ErrorCode) outcome {
	switch code {
	case openfeature.FlagNotFoundCode:
		return notFound
	case openfeature.ProviderFatalCode:
		code = openfeature.GeneralCode
	}
	words, known := serverErrors[code]
	if !known {
		code, words = openfeature.GeneralCode, "the flag server reports an error by a code that OpenFeature does not have: look into its log"
	}
	return failedOutcome(code, "%s", words)
}

var serverErrors = map[openfeature.ErrorCode]string{
	openfeature.ProviderNotReadyCode:    "the flag server is not ready: look into its log",
	openfeature.ParseErrorCode:          "the flag server can't read the flag's definition: correct it there",
	openfeature.TypeMismatchCode:        "the flag server finds the flag's value to be of another type: correct it there",
	openfeature.TargetingKeyMissingCode: "the flag server wants a targeting key: add one to the context",
	openfeature.InvalidContextCode:      "the flag server can't use the context: look into its log",
	openfeature.GeneralCode:             "the flag server failed to evaluate the flag: look into its log",
}

var answerOptions = strictjson.Options{Depth: maxLevels, Values: maxValues, Numbers: strictjson.NumbersBy(readNumber)}

// readAnswer returns the members of the object that a body is.
func readAnswer(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("it is empty")
	}
	var members map[string]any
	if err := answerOptions.Unmarshal(body, &members); err != nil {
		return nil, formatBadAnswer(err)
	}
	if members == nil {
		return nil, errNoObject
	}
	return members, nil
}

var errNoObject = errors.New("it is not an object")

// formatBadAnswer says what is wrong with an answer without quoting it: it may
// be about a user.
func formatBadAnswer(err error) error {
	switch e := err.(*strictjson.Error); e.Kind {
	case strictjson.Encoding:
		return errors.New("it is not UTF-8")
	case strictjson.Duplicate:
		return errors.New("it has the same name twice in an object")
	case strictjson.Limit:
		return errors.New("it is too large: " + e.Message)
	case strictjson.Value:
		return e.Err
	case strictjson.Type:
		return errNoObject
	}
	return errors.New("it is not JSON, or only a part of it")
}

// readNumber keeps a number as it is written, if a float64 can hold it.
func readNumber(literal string) (any, error) {
	if _, err := strconv.ParseFloat(literal, 64); err != nil {
		return nil, errors.New("it has a number that a float64 can't hold")
	}
	return number(literal), nil
}
