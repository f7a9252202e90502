package notice

import (
	"bytes"
	"strings"

	"github.com/exitgate/exitgate/internal/accept"
)

// A format is a representation of a notice. The order is that of the gateway's
// preference where a client has none: a person at a terminal reads text, and
// whoever wants a page or JSON asks for it.
type format uint8

const (
	formatText format = iota
	formatProblem
	formatHTML
	negotiable // how many formats Accept chooses from

	formatGRPC    = negotiable
	formatGRPCWeb = negotiable + 1
	formatFrame   = negotiable + 2 // a page that may be framed
	formatImage   = negotiable + 3
	formatEmpty   = negotiable + 4 // for what can't show words
	formats       = negotiable + 5
)

// formatFor returns the format for a request. A gRPC client gets gRPC whatever
// it accepts, and a browser what fits where it wants to put it. A client that
// accepts nothing of what there is gets text: a refusal has to be said, so there
// is no 406.
func formatFor(accept []string, contentType, destination string) format {
	if f, ok := grpcFormat(contentType); ok {
		return f
	}
	switch destination { // https://fetch.spec.whatwg.org/#concept-request-destination
	case "image":
		return formatImage
	case "script", "style", "font", "worker", "sharedworker", "serviceworker", "audioworklet", "paintworklet",
		"audio", "video", "track", "manifest", "xslt", "json":
		return formatEmpty
	case "iframe", "frame", "embed", "object", "fencedframe":
		if acceptedFormat(accept) == formatHTML {
			return formatFrame
		}
	}
	return acceptedFormat(accept)
}

// grpcFormat reads a request's content type: application/grpc and
// application/grpc-web, each with its +proto, +json or other message format.
func grpcFormat(contentType string) (format, bool) {
	const prefix = "application/grpc"
	if len(contentType) < len(prefix) || !strings.EqualFold(contentType[:len(prefix)], prefix) {
		return 0, false
	}
	rest, f := contentType[len(prefix):], formatGRPC
	if len(rest) >= 4 && strings.EqualFold(rest[:4], "-web") {
		rest, f = strings.TrimPrefix(rest[4:], "-text"), formatGRPCWeb
	}
	return f, rest == "" || strings.ContainsRune("+; \t", rune(rest[0]))
}

// How specific a media range is for a format. The most specific range of a format
// decides on its quality (RFC 9110, section 12.5.1).
const (
	byWildcard = iota + 1 // */*
	byType                // text/*
	bySuffix              // application/vnd.api+json
	byRelative            // application/json
	byName                // application/problem+json
)

// specificities has how specific a media range, in lower case, is for each
// format; 0 is not at all.
var specificities = map[string][negotiable]int{
	"*/*":                      {formatText: byWildcard, formatProblem: byWildcard, formatHTML: byWildcard},
	"text/*":                   {formatText: byType, formatHTML: byType},
	"application/*":            {formatProblem: byType},
	"text/plain":               {formatText: byName},
	"text/html":                {formatHTML: byName},
	"application/xhtml+xml":    {formatHTML: byRelative},
	"application/json":         {formatProblem: byRelative},
	"application/problem+json": {formatProblem: byName},
}

func specificity(mediaRange string) [negotiable]int {
	var lower [64]byte
	name := inLowerCase(&lower, mediaRange)
	if known, ok := specificities[string(name)]; ok {
		return known
	}
	if bytes.HasSuffix(name, []byte("+json")) {
		return [negotiable]int{formatProblem: bySuffix}
	}
	return [negotiable]int{}
}

// inLowerCase writes s to a buffer. What is too long for that is nothing that
// anybody here knows, and becomes empty.
func inLowerCase(buffer *[64]byte, s string) []byte {
	if len(s) > len(buffer) {
		return nil
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	return buffer[:len(s)]
}

// A preference is what a client's list has for one format.
type preference struct {
	specificity, quality, position int
}

// before reports whether p is preferred to q. Of equal quality, what is named
// goes before what a wildcard covers, and then what is named first: many
// clients list what they like and add */*.
func (p preference) before(q preference) bool {
	if p.quality != q.quality {
		return p.quality > q.quality
	}
	if named := p.specificity >= bySuffix; named != (q.specificity >= bySuffix) {
		return named
	}
	return p.position < q.position
}

func acceptedFormat(lines []string) format {
	var preferences [negotiable]preference
	position := 0
	accept.Each(lines, func(mediaRange string, quality int) bool {
		position++
		for f, c := range specificity(mediaRange) {
			if c > preferences[f].specificity {
				preferences[f] = preference{c, quality, position}
			}
			if c == byName && quality == 1000 && position == 1 {
				return false // nothing goes before that: a browser's text/html
			}
		}
		return true
	})
	best, preferred := formatText, preference{}
	for f, p := range preferences {
		if p.quality > 0 && p.before(preferred) {
			best, preferred = format(f), p
		}
	}
	return best
}
