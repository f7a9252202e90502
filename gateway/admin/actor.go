package admin

import (
	"crypto/x509"
	"net/http"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// who finds out who asks. A problem says that it is nobody.
func (h *handler) who(r *http.Request) (changes.Actor, error) {
	if by, known := h.known(r); known {
		return by, nil
	}
	if err := h.service.Known(); err != nil { // nor is it known whose tokens there are
		return changes.Actor{}, err
	}
	if r.Header.Get("Authorization") != "" {
		return changes.Actor{}, h.strange(r)
	}
	return changes.Actor{}, &api.Problem{
		Status: http.StatusUnauthorized, Code: "unauthenticated",
		Detail: "nobody knows who asks",
		Advice: "send a token as in Authorization: Bearer exg_…, or ask over the socket in the gateway's data folder; exitgate principal makes tokens",
	}
}

// known returns who asks: the user at the other end of the socket, else whose
// client certificate it is, else whose token.
func (h *handler) known(r *http.Request) (by changes.Actor, known bool) {
	if p, local := peerOf(r.Context()); local {
		return h.service.ByUser(p.name()), true
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if by, known = h.service.ByCertificate(certificateNames(r.TLS.VerifiedChains[0][0])); known {
			return by, true
		}
	}
	secret, ok := bearer(r.Header.Values("Authorization"))
	if !ok {
		return changes.Actor{}, false
	}
	return h.service.ByToken(secret)
}

// strange counts a request with a token that is nobody's, and says so; or, if
// there were many of the same client, when to try again.
func (h *handler) strange(r *http.Request) error {
	if h.onFailure != nil {
		h.onFailure()
	}
	if wait := h.failures.add(clientPrefix(r.RemoteAddr), h.now()); wait > 0 {
		return &passing{wait, &api.Problem{
			Status: http.StatusTooManyRequests, Code: "too-many-failures",
			Detail: "there were too many requests with wrong tokens from this address",
			Advice: "use a token that is good: it always works",
		}}
	}
	return &api.Problem{
		Status: http.StatusUnauthorized, Code: "unauthenticated",
		Detail: "the token is nobody's: it was never given out, has expired or was revoked",
		Advice: "ask whoever runs the gateway for another one; exitgate principal makes tokens",
	}
}

// bearer returns the token of an Authorization field (RFC 6750, section 2.1).
func bearer(fields []string) (secret string, ok bool) {
	if len(fields) != 1 {
		return "", false
	}
	scheme, secret, _ := strings.Cut(fields[0], " ")
	return strings.TrimSpace(secret), strings.EqualFold(scheme, "Bearer")
}

// certificateNames are the names in a client certificate that a principal can
// be known by. The common name only counts where there are no others, as in
// servers' certificates (RFC 9525, section 2).
func certificateNames(c *x509.Certificate) []string {
	var names []string
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	names = slices.Concat(names, c.EmailAddresses, c.DNSNames)
	if names == nil && c.Subject.CommonName != "" {
		names = []string{c.Subject.CommonName}
	}
	return names
}
