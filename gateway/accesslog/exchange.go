package accesslog

import (
	"crypto/tls"
	"math/bits"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An Exchange is a request and its answer, as a line has it. No field may hold what a
// client chose freely, or be an address. An empty one is left out.
type Exchange struct {
	End          time.Time
	RequestID    string
	Protocol     string // as ALPN names it, or websocket
	TLS          uint16 // version, as crypto/tls numbers them
	Method       string
	App          string // as configured
	Class        string // of routes
	Jurisdiction string // what the rule is about that decided
	Phase        string
	Decision     string
	Reason       string
	Status       int   // 0: there was no answer
	Received     int64 // bytes of bodies
	Sent         int64
	Duration     time.Duration
	Upstream     time.Duration // of it, until the app began to answer; 0: it wasn't asked
	HowEnded     string        // "": by itself
}

// append appends the line of an exchange.
func (e *Exchange) append(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.End.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, '"')
	b = appendString(b, "request_id", e.RequestID)
	b = appendString(b, "protocol", e.Protocol)
	b = appendString(b, "tls", tlsVersion(e.TLS))
	b = appendString(b, "method", e.Method)
	b = appendString(b, "app", e.App)
	b = appendString(b, "class", e.Class)
	b = appendString(b, "jurisdiction", e.Jurisdiction)
	b = appendString(b, "phase", e.Phase)
	b = appendString(b, "decision", e.Decision)
	b = appendString(b, "reason", e.Reason)
	b = strconv.AppendInt(appendName(b, "status"), int64(e.Status), 10)
	b = strconv.AppendInt(appendName(b, "bytes_received"), roundUp(e.Received), 10)
	b = strconv.AppendInt(appendName(b, "bytes_sent"), roundUp(e.Sent), 10)
	b = appendSeconds(appendName(b, "duration_seconds"), e.Duration)
	if e.Upstream > 0 {
		b = appendSeconds(appendName(b, "upstream_seconds"), e.Upstream)
	}
	b = appendString(b, "ended", e.HowEnded)
	return append(b, "}\n"...)
}

func appendName(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

func appendString(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b, _ = jsontext.AppendQuote(appendName(b, name), value) // what isn't UTF-8 is replaced
	return b
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'f', 6, 64)
}

func tlsVersion(version uint16) string {
	switch version {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}

// roundUp returns a size with as much of it gone as Padmé pads away: at most 12 %, so that
// sums stay of use, and a size tells less of which page or message it was
// (Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with
// PURBs, section 4).
func roundUp(size int64) int64 {
	if size < 2 {
		return size
	}
	exponent := bits.Len64(uint64(size)) - 1
	kept := bits.Len64(uint64(exponent)) // of the bits behind the first
	mask := int64(1)<<max(exponent-kept, 0) - 1
	return (size + mask) &^ mask
}
