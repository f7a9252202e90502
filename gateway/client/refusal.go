package client

// A Refusal is why a request or a connection can't be attributed to a client.
// There are only those that Refusals returns; as a string each is the value of
// a metric's label. A Refusal never holds an address.
type Refusal string

const (
	// Malformed: the value, or the PROXY protocol header, is not what its
	// grammar allows, or has no value where the client should be.
	Malformed Refusal = "malformed"
	// Hidden: the proxy keeps the client's address to itself: "unknown" or an
	// obfuscated identifier (RFC 7239, section 6), an element without "for",
	// a PROXY protocol header for something that is not IP.
	Hidden Refusal = "hidden"
	// Missing: a request is forwarded, but not with the header that is
	// believed; or a connection has no PROXY protocol header and must.
	Missing Refusal = "missing"
	// Conflicting: X-Forwarded-For and Forwarded name different clients.
	Conflicting Refusal = "conflicting"
	// Repeated: a header for one address came more than once.
	Repeated Refusal = "repeated"
	// TooLong: more hops, bytes or parameters than are read.
	TooLong Refusal = "too-long"
	// NoPeer: the connection has no IP address.
	NoPeer Refusal = "no-peer"
	// Late: the PROXY protocol header wasn't there in time.
	Late Refusal = "late"
	// Closed: the connection ended before its PROXY protocol header did. Load
	// balancers that check health by connecting only do this all the time.
	Closed Refusal = "closed"
)

// Refusals returns all there are, for counters to be resolved beforehand.
func Refusals() []Refusal {
	return []Refusal{Malformed, Hidden, Missing, Conflicting, Repeated, TooLong, NoPeer, Late, Closed}
}

func (r Refusal) Error() string { return "client address refused: " + string(r) }
