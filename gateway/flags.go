package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/flags/ofrep"
	ofrepclient "github.com/exitgate/exitgate/flags/ofrep/client"
	ofrepserver "github.com/exitgate/exitgate/flags/ofrep/server"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/policy/changes"
)

// openFlags opens the table of flags, with the providers that the settings and
// the options name.
func (g *Gateway) openFlags(providers []openfeature.FeatureProvider) (*flags.Table, error) {
	if c := g.config.Flags.OFREP; c != (config.OFREP{}) {
		var err error
		if g.ofrep, err = openFlagServer(c, g.log, g.now); err != nil {
			return nil, err
		}
		providers = append(providers, g.ofrep)
	}
	saved, err := g.data.ReadFlags()
	first := saved == nil && err == nil
	var table *flags.Table
	if err == nil {
		table, err = flags.Open(flags.Options{
			Providers: providers, Saved: saved, Save: g.data.WriteFlags, OnBreach: g.breached, OnAcknowledged: g.acknowledged, Logger: g.log, Now: g.now,
		})
	}
	switch {
	case err != nil && first:
		return nil, fmt.Errorf("flags: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w; restore %s, or remove it to start anew, which forgets breaches of guarantees that nobody has acknowledged", err, g.data.Flags())
	}
	for _, p := range providers {
		g.flagSources = append(g.flagSources, p.Metadata().Name)
	}
	g.onClose(table.Close)
	return table, nil
}

// openFlagServer returns the provider that asks the operator's flag server.
func openFlagServer(c config.OFREP, log *slog.Logger, now func() time.Time) (*ofrepclient.Provider, error) {
	authorities, err := certs.LoadPool(c.CA)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	provider, err := ofrepclient.New(ofrepclient.Options{
		URL:     c.URL,
		Headers: func() (http.Header, error) { return credentials(c) },
		RootCAs: authorities,
		Poll:    c.Poll,
		Timeout: c.Timeout,
		Logger:  log,
		Now:     now,
	})
	if err != nil {
		return nil, err
	}
	if _, err := credentials(c); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	return provider, nil
}

// breached counts a flag below its guarantee and tells of it.
func (g *Gateway) breached(b flags.Unacknowledged) {
	g.metrics.Breached(b.Jurisdiction, b.Flag)
	if b.Jurisdiction != "" {
		g.events.PublishBreach(b.Jurisdiction, b.Flag)
	}
	if !b.Since.IsZero() {
		g.occurred(changes.Occurrence{Kind: changes.GuaranteeBreached, At: g.now(), Breach: changes.Breach(b)})
	}
}

// acknowledged tells of a breach that is lifted.
func (g *Gateway) acknowledged(b flags.Unacknowledged) {
	g.occurred(changes.Occurrence{Kind: changes.BreachAcknowledged, At: g.now(), Breach: changes.Breach(b)})
}

// breaches returns those that nobody has acknowledged.
func (g *Gateway) breaches() (all []changes.Breach) {
	for _, b := range g.flags.Status().Breaches {
		all = append(all, changes.Breach(b))
	}
	return all
}

// transition tells of a scheduled change.
func (g *Gateway) transition(t enforce.Transition) {
	g.events.PublishTransition(t.Changes)
	if len(t.Changes) > 0 {
		g.tellTransition(strings.Join(t.Changes, "; "), t.Due)
	}
	if len(t.Changes) > 0 {
		g.occurred(changes.Occurrence{Kind: changes.StepTaken, Revision: t.Number, At: t.At, Due: t.Due, Changes: t.Changes})
	}
}

// occurred has what took place recorded in the ledger, if there is one.
func (g *Gateway) occurred(o changes.Occurrence) {
	if g.outbox != nil {
		g.outbox.Add(o)
	}
}

// credentials returns what is sent to the flag server along with a request.
// The files are read each time, as secrets change.
func credentials(c config.OFREP) (http.Header, error) {
	h := make(http.Header)
	for _, secret := range []struct{ file, setting, field, scheme string }{
		{c.TokenFile, "flags.ofrep.token-file", "Authorization", "Bearer "},
		{c.APIKeyFile, "flags.ofrep.api-key-file", "X-Api-Key", ""},
	} {
		if secret.file == "" {
			continue
		}
		text, err := files.Read(secret.file, 16<<10)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", secret.setting, err)
		}
		value := strings.TrimSpace(string(text))
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return nil, fmt.Errorf("%s: there is no single word in %s", secret.setting, secret.file)
		}
		h.Set(secret.field, secret.scheme+value)
	}
	return h, nil
}

// ofrepHandler answers the app's own questions about flags.
func (g *Gateway) ofrepHandler() http.Handler {
	return ofrepserver.New(ofrepserver.Options{
		Evaluate: func(ctx context.Context, key string, about map[string]any) ofrep.Evaluation {
			return g.flags.Answer(ctx, g.policyInUse(), key, about)
		},
		EvaluateAll: func(ctx context.Context, about map[string]any) ([]ofrep.Evaluation, error) {
			return g.flags.AnswerAll(ctx, g.policyInUse(), about)
		},
	})
}

// flagState is what the metrics show of flags.
func (g *Gateway) flagState() metrics.Flags {
	status := g.flags.Status()
	state := metrics.Flags{LastSuccess: make(map[string]time.Time)}
	for _, name := range g.flagSources {
		state.LastSuccess[name] = status.LastSuccess
	}
	if g.ofrep != nil {
		state.LastSuccess[g.ofrep.Metadata().Name] = g.ofrep.Status().LastSuccess
	}
	for _, r := range status.Rejected {
		state.NotAccepted += r.Answers
	}
	for _, b := range status.Breaches {
		state.Breaches = append(state.Breaches, metrics.Breach{Jurisdiction: b.Jurisdiction, Flag: b.Flag})
	}
	return state
}
