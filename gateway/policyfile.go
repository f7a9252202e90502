package gateway

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/exitgate/exitgate/gateway/enforce"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy"
)

// A policyFile is a policy document that somebody else keeps, as Git does. It
// is taken into use whenever it changes.
type policyFile struct {
	name   string
	data   statedir.Dir
	engine *enforce.Engine
	log    *slog.Logger
}

// open takes the document into use, or, if it is wrong, the last good one.
func (f *policyFile) open() error {
	wrong := f.reload()
	if wrong == nil {
		return nil
	}
	source, err := f.data.ReadLastGood()
	if err != nil {
		return wrong
	}
	p, err := policy.Parse(f.data.LastGood(), source)
	if err != nil {
		return wrong
	}
	f.log.Error("starting with the last good policy instead", "sha256", p.Digest(), "file", f.data.LastGood())
	return f.engine.Apply(p, nil, 0)
}

// reload takes the document into use, if it has changed.
func (f *policyFile) reload() error {
	source, err := files.Read(f.name, strictyaml.Limit)
	if err != nil {
		return f.engine.RecordFailure("", fmt.Errorf("policy: %w", err))
	}
	p, err := enforce.ParsePolicy(f.name, source)
	if err != nil {
		return f.engine.RecordFailure(policy.Digest(source), err)
	}
	return f.engine.Apply(p, source, 0)
}

// run follows the file until the context ends. What is wrong is logged and
// shown by the rules.
func (f *policyFile) run(ctx context.Context) {
	watch.Files(ctx, []string{f.name}, watch.Options{Logger: f.log}, func() { _ = f.reload() })
}
