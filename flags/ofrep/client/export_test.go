package client

import (
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

// Pause returns how long to wait for the next round.
func (p *Provider) Pause() time.Duration { return p.pause() }

// ReadBulk reads an answer to a bulk evaluation, as for a context that is kept
// if kept names keys. It returns how a flag resolves as each type.
func ReadBulk(body []byte, kept ...string) (resolve func(key string) []openfeature.InterfaceResolutionDetail, keys []string, err error) {
	var wanted *keySet
	if kept != nil {
		wanted = &keySet{map[string]struct{}{}}
		for _, key := range kept {
			wanted.of[key] = struct{}{}
		}
	}
	flags, keys, err := readBulk(body, wanted)
	return func(key string) []openfeature.InterfaceResolutionDetail { return resolutions(flags[key]) }, keys, err
}

// ReadSingle reads an answer to a single evaluation.
func ReadSingle(body []byte, key string) ([]openfeature.InterfaceResolutionDetail, error) {
	of, err := readSingle(body, key)
	return resolutions(of), err
}

// ReadFailure reads the body of an answer of status 400 or 404.
func ReadFailure(body []byte) (openfeature.ErrorCode, bool) { return readFailure(body) }

func resolutions(of outcome) []openfeature.InterfaceResolutionDetail {
	return []openfeature.InterfaceResolutionDetail{
		untyped(resolve(of, false, as[bool]("a boolean"))),
		untyped(resolve(of, "", as[string]("a string"))),
		untyped(resolve(of, int64(0), asInteger)),
		untyped(resolve(of, 0.0, asFloat)),
		untyped(resolve(of, any(nil), asAny)),
	}
}

func untyped[T any](detail openfeature.GenericResolutionDetail[T]) openfeature.InterfaceResolutionDetail {
	return openfeature.InterfaceResolutionDetail{Value: detail.Value, ProviderResolutionDetail: detail.ProviderResolutionDetail}
}
