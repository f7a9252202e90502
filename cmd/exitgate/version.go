package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	_ "time/tzdata" // where the system has none

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/geo"
)

// The linker sets these (-X) in a build that is the same wherever it is made: what Go
// itself says of a commit depends on the clone, on its tags and depth.
var release, commit string

// A versionInfo is what version prints.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	// SHA256 is that of the program's file, in hexadecimal, as in a release's
	// SHA256SUMS; empty where the file can't be read.
	SHA256    string `json:"sha256,omitempty"`
	Go        string `json:"go"`
	Platform  string `json:"platform"`
	Geo       string `json:"embedded-geo-database"`        // the date of its data
	GeoSHA256 string `json:"embedded-geo-database-sha256"` // as the status says it of databases in use
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
			v, err := version()
			if err != nil {
				return exitFailure(err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "exitgate %s\n", v.Version)
			if v.Revision != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "  revision      %s\n", v.Revision)
			}
			if v.SHA256 != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "  sha256        %s\n", v.SHA256)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "  go            %s %s\n  geo database  %s (embedded)\n    sha256      %s\n  time zones    %s\n", v.Go, v.Platform, v.Geo, v.GeoSHA256, v.TimeZones)
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

func version() (versionInfo, error) {
	database, err := geo.EmbeddedContent()
	sum := sha256.Sum256(database)
	v := versionInfo{
		Version:   "devel",
		SHA256:    ownChecksum(),
		Go:        runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
		Geo:       geo.EmbeddedBuild().Format("2006-01-02"),
		GeoSHA256: hex.EncodeToString(sum[:]),

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
	v.Version, v.Revision = cmp.Or(release, v.Version), cmp.Or(commit, v.Revision)
	return v, err
}

// ownChecksum returns the SHA-256 of the file that this process runs, "" if it can't
// be read.
func ownChecksum() string {
	file, err := os.Open("/proc/self/exe") // also where another file has its name by now
	if err != nil {
		path, _ := os.Executable() // where there is no such folder
		if file, err = os.Open(path); err != nil {
			return ""
		}
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}
