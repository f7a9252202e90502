package client

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/open-feature/go-sdk/openfeature"
)

// An outcome is what the server said about one flag, of whatever type.
type outcome struct {
	value    any // nil: the default in the caller's code; bool, string, numeral, map[string]any, []any
	reason   openfeature.Reason
	variant  string
	metadata openfeature.FlagMetadata

	code  openfeature.ErrorCode // "": there is no error
	words string
}

// A number is a number as JSON writes it, so that nothing is rounded before
// its type is known.
type number string

var (
	notFound    = failedOutcome(openfeature.FlagNotFoundCode, "the flag server has no flag of this key")
	notAnswered = failedOutcome(openfeature.ProviderNotReadyCode, "the flag server has not answered for this context yet")
)

func failedOutcome(code openfeature.ErrorCode, format string, args ...any) outcome {
	return outcome{code: code, reason: openfeature.ErrorReason, words: fmt.Sprintf(format, args...)}
}

// same reports whether it makes no difference which of two outcomes is kept.
// Neither holds an object then, nor metadata.
func (o outcome) same(p outcome) bool {
	return o.value == p.value && o.reason == p.reason && o.variant == p.variant && o.code == p.code && o.words == p.words
}

// resolve turns an outcome into what OpenFeature wants to know.
func resolve[T any](o outcome, fallback T, as func(any) (T, *typeError)) openfeature.GenericResolutionDetail[T] {
	detail := openfeature.GenericResolutionDetail[T]{Value: fallback}
	detail.Reason, detail.Variant, detail.FlagMetadata = o.reason, o.variant, o.metadata
	if o.code == "" && o.value != nil {
		value, err := as(o.value)
		if err == nil {
			detail.Value = value
			return detail
		}
		o.code, o.words = err.code, err.words
	}
	if o.code != "" {
		detail.Reason, detail.ResolutionError = openfeature.ErrorReason, resolutionError(o.code, o.words)
	}
	return detail
}

func resolutionError(code openfeature.ErrorCode, words string) openfeature.ResolutionError {
	switch code {
	case openfeature.ProviderNotReadyCode:
		return openfeature.NewProviderNotReadyResolutionError(words)
	case openfeature.FlagNotFoundCode:
		return openfeature.NewFlagNotFoundResolutionError(words)
	case openfeature.ParseErrorCode:
		return openfeature.NewParseErrorResolutionError(words)
	case openfeature.TypeMismatchCode:
		return openfeature.NewTypeMismatchResolutionError(words)
	case openfeature.TargetingKeyMissingCode:
		return openfeature.NewTargetingKeyMissingResolutionError(words)
	case openfeature.InvalidContextCode:
		return openfeature.NewInvalidContextResolutionError(words)
	default:
		return openfeature.NewGeneralResolutionError(words)
	}
}

// A typeError is why a value is not of the type that was asked for.
type typeError struct {
	code  openfeature.ErrorCode
	words string
}

func mismatch(value any, wanted string) *typeError {
	return &typeError{openfeature.TypeMismatchCode, "the flag's value is " + kindOf(value) + ", not " + wanted + ": correct it at the flag server, or who asks for it"}
}

func kindOf(value any) string {
	switch value := value.(type) {
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case number:
		if value.isInteger() {
			return "an integer"
		}
		return "a number with a fraction or exponent"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// as returns what takes a value that is of a type already.
func as[T any](wanted string) func(value any) (T, *typeError) {
	return func(value any) (T, *typeError) {
		of, ok := value.(T)
		if !ok {
			return of, mismatch(value, wanted)
		}
		return of, nil
	}
}

func asInteger(value any) (int64, *typeError) {
	number, ok := value.(number)
	if !ok || !number.isInteger() {
		return 0, mismatch(value, "an integer")
	}
	return number.integer()
}

func asFloat(value any) (float64, *typeError) {
	number, ok := value.(number)
	if !ok {
		return 0, mismatch(value, "a number")
	}
	return number.float()
}

// asAny copies objects and lists, as callers may modify what they get.
func asAny(value any) (any, *typeError) {
	switch value := value.(type) {
	case number:
		if value.isInteger() {
			return widen(value.integer())
		}
		return widen(value.float())
	case map[string]any:
		object := make(map[string]any, len(value))
		for name, member := range value {
			of, err := asAny(member)
			if err != nil {
				return nil, err
			}
			object[name] = of
		}
		return object, nil
	case []any:
		list := make([]any, len(value))
		for i, member := range value {
			of, err := asAny(member)
			if err != nil {
				return nil, err
			}
			list[i] = of
		}
		return list, nil
	default:
		return value, nil
	}
}

func widen[T any](value T, err *typeError) (any, *typeError) {
	if err != nil {
		return nil, err
	}
	return value, nil
}

// isInteger looks at how the number is written. 3.0 is none: a flag that some
// day has the value 3.5 doesn't change its type then.
func (n number) isInteger() bool { return !strings.ContainsAny(string(n), ".eE") }

// integer returns the number if every implementation of JSON agrees on it (RFC
// 8259 section 6).
func (n number) integer() (int64, *typeError) {
	const most = 1<<53 - 1
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || i > most || i < -most {
		return 0, &typeError{openfeature.ParseErrorCode, "the flag's value is an integer beyond 2^53, which JSON does not carry exactly: make it a string"}
	}
	return i, nil
}

func (n number) float() (float64, *typeError) {
	if n.isInteger() {
		i, err := n.integer()
		return float64(i), err
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, &typeError{openfeature.ParseErrorCode, "the flag's value is a number that a float64 can't hold: make it smaller"}
	}
	return f, nil
}
