package admin

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/console"
	"github.com/exitgate/exitgate/policy/changes"
)

// authenticate returns who asks. An error says that it is nobody.
func (h *handler) authenticate(r *http.Request) (changes.Actor, error) {
	if by, known := h.actorOf(r); known {
		return by, nil
	}
	if err := h.service.Unavailable(); err != nil { // nor is it known whose tokens there are
		return changes.Actor{}, err
	}
	if r.Header.Get("Authorization") != "" {
		return changes.Actor{}, h.unknownToken(r)
	}
	return changes.Actor{}, refuse(unauthenticated, "nobody knows who asks",
		"send a token as in Authorization: Bearer exg_…, or ask over the socket in the gateway's data folder; exitgate principal makes tokens")
}

// actorOf returns who asks: whoever is signed in to the console, if that asks, else the user at the other end of the socket, else whose
// client certificate it is, else whose token.
func (h *handler) actorOf(r *http.Request) (by changes.Actor, known bool) {
	if signedIn := console.IdentityOf(r.Context()); signedIn != nil {
		return signedIn()
	}
	if p, local := peerOf(r.Context()); local {
		return h.service.ByUser(p.name()), true
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		shown := r.TLS.VerifiedChains[0][0]
		if by, known = h.service.ByCertificate(certificateNames(shown)); known {
			by.Credential = fmt.Sprintf("certificate:%x", sha256.Sum256(shown.Raw))
			return by, true
		}
	}
	secret, ok := bearer(r.Header.Values("Authorization"))
	if !ok {
		return changes.Actor{}, false
	}
	return h.service.ByToken(secret)
}

// signIn returns who shows a token to the console.
func (h *handler) signIn(r *http.Request, token string) (console.Identity, error) {
	if _, known := h.service.ByToken(token); !known {
		if err := h.service.Unavailable(); err != nil {
			return nil, err
		}
		return nil, h.unknownToken(r)
	}
	return func() (changes.Actor, bool) { return h.service.ByToken(token) }, nil
}

// linkToConsole returns where whoever asks is signed in to the console, once: by what
// they are known by now, as long as that is known.
func (h *handler) linkToConsole(c *call, _ none) (api.ConsoleLink, error) {
	asked := c.Request
	target, ends := h.console.NewLink(func() (changes.Actor, bool) { return h.actorOf(asked) })
	return api.ConsoleLink{Path: target, Expires: ends}, nil
}

// unknownToken counts a request with a token that is nobody's. The error says
// so; or, if there were many from the same client, when to try again.
func (h *handler) unknownToken(r *http.Request) error {
	if h.onFailure != nil {
		h.onFailure()
	}
	if wait := h.failures.add(clientPrefix(r.RemoteAddr), h.now()); wait > 0 {
		return &retryError{refuse(tooManyFailures, "there were too many requests with wrong tokens from this address",
			"use a valid token: it always works"), wait}
	}
	return refuse(unauthenticated, "the token is unknown: it was never given out, has expired or was revoked",
		"ask whoever runs the gateway for another one; exitgate principal makes tokens")
}

// bearer returns the token of an Authorization field (RFC 6750, section 2.1).
func bearer(fields []string) (secret string, ok bool) {
	if len(fields) != 1 {
		return "", false
	}
	scheme, secret, _ := strings.Cut(fields[0], " ")
	return strings.TrimSpace(secret), strings.EqualFold(scheme, "Bearer")
}

// certificateNames returns the names in a client certificate that a principal
// can be known by. The common name only counts where there are no others, as in
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

// An access is what an actor needs to be allowed something. The Control checks
// it again, with what depends on the change.
type access struct {
	public         bool           // for everybody
	local          bool           // over the socket only
	roles          []changes.Role // else one of these
	detail, advice string         // of the error
}

var (
	public = access{public: true}
	view   = access{
		roles:  []changes.Role{changes.Viewer, changes.Operator, changes.Approver, changes.Counsel},
		detail: "you have no role", advice: "ask for the role viewer",
	}
	propose = access{
		roles:  []changes.Role{changes.Operator},
		detail: "only an operator proposes changes", advice: "ask one to, or ask for the role",
	}
	approve = access{
		roles:  []changes.Role{changes.Approver},
		detail: "only an approver approves changes", advice: "ask one to, or ask for the role",
	}
	reject = access{
		roles:  []changes.Role{changes.Operator, changes.Approver},
		detail: "only an operator or an approver rejects changes", advice: "ask one to, or ask for the role",
	}
	decideGeo = access{
		roles:  []changes.Role{changes.Operator, changes.Approver},
		detail: "only an operator or an approver decides on databases", advice: "ask one to, or ask for the role",
	}
	managePrincipals = access{
		local:  true,
		detail: "principals are only changed over the gateway's socket", advice: "use exitgate principal on the gateway's machine",
	}
)

// check returns an error if an actor isn't allowed.
func (a access) check(by changes.Actor) error {
	has := func(role changes.Role) bool { return slices.Contains(by.Roles, role) }
	if a.public || a.local && by.Local || slices.ContainsFunc(a.roles, has) {
		return nil
	}
	return refuse(changes.Forbidden, a.detail, a.advice)
}
