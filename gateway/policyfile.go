package gateway

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/strict"
)

// A policyFile is a policy document that somebody else keeps, as Git does. It
// is taken into use whenever it changes.
type policyFile struct {
	name  string
	rules *rules
	log   *slog.Logger
}

// open takes the document into use, or, if it is wrong, the last good one.
func (f *policyFile) open() error {
	wrong := f.reload()
	if wrong == nil {
		return nil
	}
	kept := f.rules.kept
	source, err := kept.read()
	if err != nil {
		return wrong
	}
	p, err := policy.Parse(kept.document(), source)
	if err != nil {
		return wrong
	}
	f.log.Error("starting with the last good policy instead", "sha256", p.Digest(), "file", kept.document())
	return f.rules.apply(p, nil, 0)
}

// reload takes the document into use, if it has changed.
func (f *policyFile) reload() error {
	source, err := files.Read(f.name, strict.Limit)
	if err != nil {
		return f.rules.refuse("", fmt.Errorf("policy: %w", err))
	}
	p, err := ParsePolicy(f.name, source)
	if err != nil {
		return f.rules.refuse(policy.Digest(source), err)
	}
	return f.rules.apply(p, source, 0)
}

// run follows the file until the context ends. What is wrong is logged and
// shown by the rules.
func (f *policyFile) run(ctx context.Context) {
	watch.Files(ctx, []string{f.name}, watch.Options{Logger: f.log}, func() { _ = f.reload() })
}

// ParsePolicy reads a policy that a gateway can take into use: one that Parse
// reads, and whose notices can be shown. The name is for errors.
func ParsePolicy(name string, source []byte) (*policy.Policy, error) {
	p, err := policy.Parse(name, source)
	if err != nil {
		return nil, err
	}
	return p, notice.Check(p.Notices())
}
