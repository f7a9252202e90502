// Command launchdarkly is exitgate with LaunchDarkly for a source of flags: an
// example of a custom build. See docs/custom-build.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/ldfiledata"
	"github.com/launchdarkly/go-server-sdk/v7/ldfilewatch"
	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
)

func main() {
	settings := flag.String("config", "exitgate.yaml", "`file` with the gateway's settings")
	file := flag.String("flags", "", "`file` with flags, to run without LaunchDarkly's service")
	flag.Parse()
	// net/http's transport writes to the standard logger what an upstream
	// sent unasked, which may quote clients.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *settings, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve runs the gateway until the context ends.
func serve(ctx context.Context, settings, file string) error {
	text, err := os.ReadFile(settings)
	if err != nil {
		return err
	}
	config, err := config.Parse(settings, text)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	client, err := connect(file, logger)
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Options{
		Config: config,
		Logger: logger,
		Flags:  []openfeature.FeatureProvider{newProvider(client)},
	})
	if err != nil {
		return err
	}
	at, err := g.Listen()
	if err != nil {
		return err
	}
	logger.Info("serving", "https", at.HTTPS, "http", at.HTTP, "admin", at.Admin)
	return g.Serve(ctx)
}

// connect starts LaunchDarkly's SDK, which gets the flags in the background.
func connect(file string, logger *slog.Logger) (*ld.LDClient, error) {
	config := ld.Config{
		// Events would tell LaunchDarkly in which context each flag was
		// evaluated: of users, too.
		Events:  ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().Loggers(loggers(logger)),
	}
	key := os.Getenv("LAUNCHDARKLY_SDK_KEY")
	switch {
	case file != "":
		config.DataSource = ldfiledata.DataSource().FilePaths(file).Reloader(ldfilewatch.WatchFiles)
	case key == "":
		return nil, errors.New("set LAUNCHDARKLY_SDK_KEY to the environment's SDK key, or give a file with --flags")
	}
	return ld.MakeCustomClient(key, config, 0)
}

// loggers returns the log of the SDK: its warnings and errors.
func loggers(logger *slog.Logger) ldlog.Loggers {
	var l ldlog.Loggers
	l.SetMinLevel(ldlog.Warn)
	l.SetBaseLoggerForLevel(ldlog.Warn, slog.NewLogLogger(logger.Handler(), slog.LevelWarn))
	l.SetBaseLoggerForLevel(ldlog.Error, slog.NewLogLogger(logger.Handler(), slog.LevelError))
	return l
}
