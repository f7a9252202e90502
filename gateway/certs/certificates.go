package certs

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"
)

// Certificates are what the public listener shows: those of files, and those that
// are obtained for other hosts. One of the two may be nil.
type Certificates struct {
	Files *Files
	ACME  *ACME
}

// Open makes them ready for handshakes at an address; see [ACME.Open].
func (c Certificates) Open(https, http net.Addr) {
	if c.ACME != nil {
		c.ACME.Open(https, http)
	}
}

// Close ends what Open began.
func (c Certificates) Close() {
	if c.ACME != nil {
		c.ACME.Close()
	}
}

// GetCertificate returns the certificate for a handshake: one that is for the name
// the client asks for and that the client supports, of files if they have one. For
// another name it is the first of all.
func (c Certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.Files == nil || c.ACME != nil && isChallenge(hello) {
		return c.ACME.GetCertificate(hello)
	}
	if cert := c.Files.find(hello); cert != nil {
		return cert, nil
	}
	if c.ACME != nil && c.ACME.manages(hello.ServerName) {
		return c.ACME.GetCertificate(hello)
	}
	return c.Files.first(), nil
}

// Protocols returns what a listener offers in handshakes beside HTTP.
func (c Certificates) Protocols() []string {
	if c.ACME == nil {
		return nil
	}
	return []string{challengeProtocol}
}

// AnswerChallenge answers an authority that validates a name over HTTP, and reports whether
// it has.
func (c Certificates) AnswerChallenge(w http.ResponseWriter, r *http.Request) bool {
	return c.ACME != nil && c.ACME.AnswerChallenge(w, r)
}

// Expiry returns when the certificate for each host expires, the earliest if there
// are several; the zero time where none could be obtained yet.
func (c Certificates) Expiry() map[string]time.Time {
	ends := make(map[string]time.Time)
	if c.ACME != nil {
		ends = c.ACME.Expiry()
	}
	if c.Files != nil {
		maps.Copy(ends, c.Files.Expiry())
	}
	return ends
}

// Failures returns why certificates are not as they should be, by what readiness
// calls them, and since when.
func (c Certificates) Failures() map[string]Failure {
	failures := make(map[string]Failure)
	if c.ACME != nil {
		ends := c.ACME.Expiry()
		for host, f := range c.ACME.Failures() {
			if end := ends[host]; end.IsZero() {
				f.Err = fmt.Errorf("could not be obtained: %w; it is tried again", f.Err)
			} else {
				f.Err = fmt.Errorf("could not be renewed: %w; it is tried again, and the one that ends at %s stays in use", f.Err, end.UTC().Format(time.RFC3339))
			}
			failures["certificate "+host] = f
		}
	}
	if c.Files != nil {
		if f := c.Files.Failure(); f != nil {
			failures["certificates"] = Failure{fmt.Errorf("%w; the previous ones stay in use", f.Err), f.Since}
		}
	}
	return failures
}
