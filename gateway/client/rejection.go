package client

// A Rejection is why a request or a connection can't be attributed to a client.
// There are only those that Rejections returns; as a string each is the value of
// a metric's label. A Rejection never holds an address.
type Rejection string

const (
	// Malformed: the value, or the PROXY protocol header, is not what its
	// grammar allows, or has no value where the client should be.
	Malformed Rejection = "malformed"
	// Hidden: the proxy keeps the client's address to itself: "unknown" or an
	// obfuscated identifier (RFC 7239, section 6), an element without "for",
	// a PROXY protocol header for something that is not IP.
	Hidden Rejection = "hidden"
	// Missing: a request is forwarded, but not with the header that is
	// trusted; or a connection has no PROXY protocol header and must.
	Missing Rejection = "missing"
	// Conflicting: X-Forwarded-For and Forwarded name different clients.
	Conflicting Rejection = "conflicting"
	// Repeated: a header for one address came more than once.
	Repeated Rejection = "repeated"
	// TooLong: more hops, bytes or parameters than are read.
	TooLong Rejection = "too-long"
	// NoPeer: the connection has no IP address.
	NoPeer Rejection = "no-peer"
	// Late: the PROXY protocol header wasn't there in time.
	Late Rejection = "late"
	// Closed: the connection ended before its PROXY protocol header did. Load
	// balancers that check health by connecting only do this all the time.
	Closed Rejection = "closed"
)

// Rejections returns all there are, for counters to be resolved beforehand.
func Rejections() []Rejection {
	return []Rejection{Malformed, Hidden, Missing, Conflicting, Repeated, TooLong, NoPeer, Late, Closed}
}

func (r Rejection) Error() string { return "client address rejected: " + string(r) }
