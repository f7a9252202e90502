package notice

import (
	"bytes"
	"strings"

	"github.com/exitgate/exitgate/internal/accept"
)

// A format is a representation of a notice. The order is that of the gateway's
// preference where a client has none: a person at a terminal reads text, and
// whoever wants a page or JSON says so.
type format uint8

const (
	asText format = iota
	asProblem
	asPage
	negotiable // how many formats Accept chooses from

	asGRPC    = negotiable
	asGRPCWeb = negotiable + 1
	formats   = negotiable + 2
)

// formatFor returns the format for a request. A gRPC client gets gRPC whatever
// it accepts. A client that accepts nothing of what there is gets text: a
// refusal has to be said, so there is no 406.
func formatFor(accept []string, contentType string) format {
	if f, ok := grpcFormat(contentType); ok {
		return f
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
	rest, f := contentType[len(prefix):], asGRPC
	if len(rest) >= 4 && strings.EqualFold(rest[:4], "-web") {
		rest, f = strings.TrimPrefix(rest[4:], "-text"), asGRPCWeb
	}
	return f, rest == "" || strings.ContainsRune("+; \t", rune(rest[0]))
}

// How closely a media range names a format. The closest range of a format
// decides on its quality (RFC 9110, section 12.5.1).
const (
	byWildcard = iota + 1 // */*
	byType                // text/*
	bySuffix              // application/vnd.api+json
	byRelative            // application/json
	byName                // application/problem+json
)

// closenessOf says how closely a media range, in lower case, names each
// format; 0 is not at all.
var closenessOf = map[string][negotiable]int{
	"*/*":                      {asText: byWildcard, asProblem: byWildcard, asPage: byWildcard},
	"text/*":                   {asText: byType, asPage: byType},
	"application/*":            {asProblem: byType},
	"text/plain":               {asText: byName},
	"text/html":                {asPage: byName},
	"application/xhtml+xml":    {asPage: byRelative},
	"application/json":         {asProblem: byRelative},
	"application/problem+json": {asProblem: byName},
}

func closeness(mediaRange string) [negotiable]int {
	var lower [64]byte
	name := inLowerCase(&lower, mediaRange)
	if known, ok := closenessOf[string(name)]; ok {
		return known
	}
	if bytes.HasSuffix(name, []byte("+json")) {
		return [negotiable]int{asProblem: bySuffix}
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

// A claim is what a client's list says of one format.
type claim struct {
	closeness, quality, position int
}

// before says whether c is preferred to d. Of equal quality, what is named
// goes before what a wildcard covers, and then what is named first: many
// clients list what they like and add */*.
func (c claim) before(d claim) bool {
	if c.quality != d.quality {
		return c.quality > d.quality
	}
	if named := c.closeness >= bySuffix; named != (d.closeness >= bySuffix) {
		return named
	}
	return c.position < d.position
}

func acceptedFormat(lines []string) format {
	var claims [negotiable]claim
	position := 0
	accept.Each(lines, func(mediaRange string, quality int) bool {
		position++
		for f, c := range closeness(mediaRange) {
			if c > claims[f].closeness {
				claims[f] = claim{c, quality, position}
			}
			if c == byName && quality == 1000 && position == 1 {
				return false // nothing goes before that: a browser's text/html
			}
		}
		return true
	})
	best, preferred := asText, claim{}
	for f, c := range claims {
		if c.quality > 0 && c.before(preferred) {
			best, preferred = format(f), c
		}
	}
	return best
}
