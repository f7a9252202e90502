package certs

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.uber.org/zap/zapcore"
)

// zapToSlog is a zapcore.Core that logs to slog what certmagic says. Of its
// fields only these pass: others hold addresses of clients.
type zapToSlog struct {
	log    *slog.Logger
	fields []zapcore.Field
}

var zapFields = []string{
	"attempt", "ca", "challenge_type", "error", "expiration", "identifier", "identifiers", "issuer",
	"problem", "remaining", "retrying_in", "storage",
}

func (z zapToSlog) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{z.log, append(slices.Clip(z.fields), fields...)}
}

func (z zapToSlog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

func (z zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	encoded := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(z.fields), fields...) {
		if slices.Contains(zapFields, f.Key) {
			f.AddTo(encoded)
		}
	}
	var attrs []slog.Attr
	for _, name := range zapFields {
		if value, ok := encoded.Fields[name]; ok {
			if d, ok := value.(time.Duration); ok {
				value = d.String()
			}
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	z.log.LogAttrs(context.Background(), level, "certificates: "+e.Message, attrs...)
	return nil
}

func (zapToSlog) Sync() error { return nil }
