package control

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// Principals returns who may use the API.
func (c *Control) Principals() api.Principals {
	all := api.Principals{Principals: []changes.Principal{}}
	for _, p := range c.source.State().Principals() {
		all.Principals = append(all.Principals, withoutHashes(p))
	}
	return all
}

// withoutHashes returns a principal without the hashes of its tokens, which
// nobody needs.
func withoutHashes(p changes.Principal) changes.Principal {
	p.Tokens = slices.Clone(p.Tokens)
	for i := range p.Tokens {
		p.Tokens[i].SHA256 = ""
	}
	return p
}

// writePrincipal writes what concerns a principal, once.
func (c *Control) writePrincipal(ctx context.Context, decide func(changes.State) (changes.Draft, error)) error {
	_, err := c.source.Write(ctx, decide)
	if _, repeated := errors.AsType[*changes.RepeatedError](err); repeated {
		return nil
	}
	return err
}

// SetPrincipal adds somebody who may use the API, or changes what they may.
func (c *Control) SetPrincipal(ctx context.Context, by changes.Actor, name string, p api.Principal, r changes.Request) (changes.Principal, error) {
	err := c.writePrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.SetPrincipal(by, changes.Principal{Name: name, Roles: p.Roles, User: p.User, Certificate: p.Certificate}, p.Because, r, c.now())
	})
	for _, set := range c.source.State().Principals() {
		if set.Name == name {
			return withoutHashes(set), err
		}
	}
	return changes.Principal{}, err
}

// RemovePrincipal removes somebody, and their tokens.
func (c *Control) RemovePrincipal(ctx context.Context, by changes.Actor, name, because string, r changes.Request) error {
	return c.writePrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.RemovePrincipal(by, name, because, r, c.now())
	})
}

// AddToken gives somebody a token.
func (c *Control) AddToken(ctx context.Context, by changes.Actor, name string, t api.TokenRequest, r changes.Request) (api.NewToken, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	token, secret := changes.NewToken(random, c.now(), t.Expires)
	// A secret that was made for the same request before can't be shown again.
	_, err := c.source.Write(ctx, func(state changes.State) (changes.Draft, error) {
		return state.AddToken(by, name, token, t.Because, r, c.now())
	})
	if _, repeated := errors.AsType[*changes.RepeatedError](err); repeated {
		return api.NewToken{}, &changes.Error{
			Code:    changes.KeyReused,
			Message: "the token was made already, and its secret was shown then",
			Advice:  "revoke it if the secret was lost, and make another",
		}
	}
	if err != nil {
		return api.NewToken{}, err
	}
	token.SHA256 = ""
	return api.NewToken{Token: token, Secret: secret}, nil
}

// RevokeToken takes a token away.
func (c *Control) RevokeToken(ctx context.Context, by changes.Actor, name, id, because string, r changes.Request) error {
	return c.writePrincipal(ctx, func(state changes.State) (changes.Draft, error) {
		return state.RevokeToken(by, name, id, because, r, c.now())
	})
}
