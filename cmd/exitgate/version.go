package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	_ "time/tzdata" // where the system has none

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/geo"
)

// A versionInfo is what version prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Geo      string `json:"embedded-geo-database"`
	// TimeZones is the version of the data of time zones: the system's, or the
	// embedded one, which is that of the Go version.
	TimeZones string `json:"time-zones"`
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which exitgate this is",
		Example: "  exitgate version --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version()
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "exitgate %s\n", v.Version)
			if v.Revision != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "  revision      %s\n", v.Revision)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "  go            %s %s\n  geo database  %s (embedded)\n  time zones    %s\n", v.Go, v.Platform, v.Geo, v.TimeZones)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// timeZones returns the version of the data of time zones in the first of the
// system's folders that has any: where time looks, before what is embedded.
func timeZones(folders ...string) string {
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "UTC")); err != nil {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(folder, "tzdata.zi")); err == nil { // "# version 2026b"
			line, _, _ := strings.Cut(string(text), "\n")
			if version, ok := strings.CutPrefix(line, "# version "); ok {
				return version + " (" + folder + ")"
			}
		}
		return "unknown (" + folder + ")"
	}
	return "that of " + runtime.Version() + " (embedded)"
}

func version() versionInfo {
	v := versionInfo{
		Version:  "devel",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Geo:      geo.EmbeddedBuild().Format("2006-01-02"),

		TimeZones: timeZones("/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ"),
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		if build.Main.Version != "" && build.Main.Version != "(devel)" {
			v.Version = build.Main.Version
		}
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	return v
}
