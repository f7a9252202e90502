package changes

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// roles lists them as they are shown.
var roles = [...]Role{Viewer, Operator, Approver, Counsel}

// Roles returns all roles there are, as they are shown.
func Roles() []Role { return slices.Clone(roles[:]) }

// localPrefix begins the names of local users that are no principals.
const localPrefix = "unix:"

// The names of principals have no colon: none can pass for a local user.
var (
	principalName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)
	tokenID       = regexp.MustCompile(`^[a-z2-7]{8}$`)
	tokenSecret   = regexp.MustCompile(`^exg_([a-z2-7]{8})_[a-z2-7]{44}$`)
	sha256Hex     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// SetPrincipal returns the entry that adds a principal, or changes who it is.
// Its tokens stay, but for expired ones; those in p are ignored.
func (s State) SetPrincipal(by Actor, p Principal, because string, request Request, now time.Time) (Draft, error) {
	if err := s.checkLocal(by, because, request); err != nil {
		return Draft{}, err
	}
	p, err := s.checkPrincipal(p)
	if err != nil {
		return Draft{}, err
	}
	p.Tokens = nil
	switch i, known := s.principal(p.Name); {
	case known:
		was := s.saved.Principals[i]
		if slices.Equal(was.Roles, p.Roles) && was.User == p.User && was.Certificate == p.Certificate {
			return Draft{}, refuse(NoChange, "", "%s is so already", p.Name)
		}
		p.Tokens = was.Tokens
	case len(s.saved.Principals) >= MaxPrincipals:
		return Draft{}, refuse(Invalid, "remove some of them", "there are %d principals already", MaxPrincipals)
	}
	return writePrincipal(by, because, p, p.describe(), request, now)
}

// reservedNames can't be those of new principals: the log would say that the gateway
// itself, or nobody in particular, did what they do.
var reservedNames = [...]string{gatewayAuthor, "system", "gateway", "nobody", "anonymous", "unknown", "root", "unix"}

// checkPrincipal returns a principal as it is written.
func (s State) checkPrincipal(p Principal) (Principal, error) {
	if _, known := s.principal(p.Name); !known && slices.Contains(reservedNames[:], p.Name) {
		return p, refuse(Invalid, "choose another", "the name %s is reserved", p.Name)
	}
	if !principalName.MatchString(p.Name) {
		return p, refuse(Invalid, "use up to 64 lower-case letters, digits, and any of . _ - @ after the first", "%.100q can't be the name of a principal", p.Name)
	}
	var sorted []Role
	for _, role := range roles {
		if slices.Contains(p.Roles, role) {
			sorted = append(sorted, role)
		}
	}
	for _, role := range p.Roles {
		if !slices.Contains(sorted, role) {
			return p, refuse(Invalid, "choose from "+joinAnd(roles[:]), "%.100q is not a role", string(role))
		}
	}
	if sorted == nil {
		return p, refuse(Invalid, "choose from "+joinAnd(roles[:]), "a principal needs a role")
	}
	p.Roles = sorted
	if err := checkText("the user", p.User, MaxUser); err != nil {
		return p, err
	}
	if err := checkText("the name in certificates", p.Certificate, MaxCertificate); err != nil {
		return p, err
	}
	for _, other := range s.saved.Principals {
		switch {
		case other.Name == p.Name:
		case p.User != "" && other.User == p.User:
			return p, refuse(Invalid, "one user is one principal", "the user %s is the principal %s", p.User, other.Name)
		case p.Certificate != "" && other.Certificate == p.Certificate:
			return p, refuse(Invalid, "one name is one principal's", "certificates with the name %s are those of the principal %s", p.Certificate, other.Name)
		}
	}
	return p, nil
}

// RemovePrincipal returns the entry that removes a principal and its tokens.
func (s State) RemovePrincipal(by Actor, name, because string, request Request, now time.Time) (Draft, error) {
	if err := s.checkLocal(by, because, request); err != nil {
		return Draft{}, err
	}
	if _, err := s.principalNamed(name); err != nil {
		return Draft{}, err
	}
	return newDraft(PrincipalRemoved, by, strings.TrimSpace(because), removalBody{name, request.recorded()}, nil)
}

// AddToken returns the entry that gives a principal a token. The secret is made
// by the caller (NewToken) and never part of an entry.
func (s State) AddToken(by Actor, name string, t Token, because string, request Request, now time.Time) (Draft, error) {
	if err := s.checkLocal(by, because, request); err != nil {
		return Draft{}, err
	}
	p, err := s.principalNamed(name)
	switch {
	case err != nil:
		return Draft{}, err
	case !tokenID.MatchString(t.ID) || !sha256Hex.MatchString(t.SHA256):
		return Draft{}, refuse(Invalid, "let NewToken make it", "this isn't a token")
	case !t.Expires.IsZero() && !t.Expires.After(now):
		return Draft{}, refuse(Invalid, "choose a later time, or none", "the token would expire at %s, which is past", t.Expires.Format(time.RFC3339))
	case len(unexpired(p.Tokens, now)) >= MaxTokens:
		return Draft{}, refuse(Invalid, "revoke some of them", "%s has %d tokens already", name, MaxTokens)
	}
	if _, _, taken := s.token(t.ID); taken {
		return Draft{}, refuse(Invalid, "make another token", "there is a token %s already", t.ID)
	}
	p.Tokens = append(slices.Clip(p.Tokens), t)
	return writePrincipal(by, because, p, fmt.Sprintf("token %s for %s%s", t.ID, name, t.formatExpiry()), request, now)
}

// RevokeToken returns the entry that takes one away.
func (s State) RevokeToken(by Actor, name, id, because string, request Request, now time.Time) (Draft, error) {
	if err := s.checkLocal(by, because, request); err != nil {
		return Draft{}, err
	}
	p, err := s.principalNamed(name)
	if err != nil {
		return Draft{}, err
	}
	i := slices.IndexFunc(p.Tokens, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return Draft{}, refuse(NotFound, "see which tokens there are", "%s has no token %.100q", name, id)
	}
	p.Tokens = slices.Delete(slices.Clone(p.Tokens), i, i+1)
	return writePrincipal(by, because, p, fmt.Sprintf("revokes token %s of %s", id, name), request, now)
}

// writePrincipal writes all of a principal but for tokens that are of no use.
func writePrincipal(by Actor, because string, p Principal, summary string, request Request, now time.Time) (Draft, error) {
	p.Tokens = unexpired(p.Tokens, now)
	return newDraft(PrincipalSet, by, strings.TrimSpace(because), principalBody{p, summary, request.recorded()}, nil)
}

// checkLocal returns why a command about principals isn't accepted: it was given
// before, didn't come over the socket, or has no reason.
func (s State) checkLocal(by Actor, because string, r Request) error {
	if err := s.checkNotRepeated(by, r); err != nil {
		return err
	}
	if !by.Local {
		return refuse(Forbidden, "do it on the gateway's machine, over its socket", "principals can't be changed over the network")
	}
	return checkReason(because)
}

func (s State) principalNamed(name string) (Principal, error) {
	i, known := s.principal(name)
	if !known {
		return Principal{}, refuse(NotFound, "see which principals there are", "there is no principal %.100q", name)
	}
	return s.saved.Principals[i], nil
}

// describe says who a principal is: "ada: operator, approver; user ada".
func (p Principal) describe() string {
	words := p.Name + ": " + joinWith(p.Roles, ", ")
	if p.User != "" {
		words += "; user " + p.User
	}
	if p.Certificate != "" {
		words += "; certificate " + p.Certificate
	}
	return words
}

// formatExpiry says when a token expires, nothing if it doesn't.
func (t Token) formatExpiry() string {
	if t.Expires.IsZero() {
		return ""
	}
	return " until " + t.Expires.UTC().Format(time.DateOnly)
}

func (t Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// unexpired returns the tokens that haven't expired.
func unexpired(tokens []Token, now time.Time) []Token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t Token) bool { return t.expired(now) })
}

// token finds a token by its ID, and whose it is.
func (s State) token(id string) (Principal, Token, bool) {
	for _, p := range s.saved.Principals {
		for _, t := range p.Tokens {
			if t.ID == id {
				return p, t, true
			}
		}
	}
	return Principal{}, Token{}, false
}

// NewToken makes a token from 32 random bytes. The secret, "exg_<id>_<…>", is
// shown once and not kept. A zero time as expires is never.
func NewToken(random [32]byte, now, expires time.Time) (t Token, secret string) {
	const inID = 5 // bytes; the 27 others nobody can guess
	encoding := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	id := encoding.EncodeToString(random[:inID])
	secret = "exg_" + id + "_" + encoding.EncodeToString(random[inID:])
	return Token{id, fingerprint(secret), now.UTC(), expires.UTC()}, secret
}

func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// ByToken returns the actor that a secret is of, false if it is nobody's or has
// expired.
func (s State) ByToken(secret string, now time.Time) (Actor, bool) {
	parts := tokenSecret.FindStringSubmatch(secret)
	if parts == nil {
		return Actor{}, false
	}
	p, t, known := s.token(parts[1])
	if !known || t.expired(now) || subtle.ConstantTimeCompare([]byte(fingerprint(secret)), []byte(t.SHA256)) != 1 {
		return Actor{}, false
	}
	by := p.actor()
	by.Credential = "token:" + t.ID
	return by, true
}

// ByCertificate returns the actor of the first of some names that is a
// principal's.
func (s State) ByCertificate(names []string) (Actor, bool) {
	for _, name := range names {
		for _, p := range s.saved.Principals {
			if name != "" && p.Certificate == name {
				return p.actor(), true
			}
		}
	}
	return Actor{}, false
}

// ByUser returns the actor that a local user is: with all roles, as who may
// open the socket may operate, and by the name of the principal whose User it
// is, if there is one.
func (s State) ByUser(user string) Actor {
	a := Actor{Name: localPrefix + user, Roles: slices.Clone(roles[:]), Local: true, Credential: "user:" + user}
	for _, p := range s.saved.Principals {
		if user != "" && p.User == user {
			a.Name = p.Name
		}
	}
	return a
}

func (p Principal) actor() Actor { return Actor{Name: p.Name, Roles: slices.Clone(p.Roles)} }
