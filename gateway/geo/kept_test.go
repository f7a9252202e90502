package geo_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// watchUntil watches until the folder of copies has so many of them.
func watchUntil(t *testing.T, locator *geo.Locator, folder string, copies int, done func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- locator.Watch(ctx) }()
	testkit.Eventually(t, "the geo file is taken", func() bool {
		found, _ := filepath.Glob(filepath.Join(folder, "*.mmdb"))
		return len(found) == copies && done()
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAStartWithABadFileTakesTheCopyThatWasKept(t *testing.T) {
	for _, bad := range badFiles(t) {
		t.Run(bad.name, func(t *testing.T) {
			path, folder := geotest.File(t, country(t, "GB")), filepath.Join(t.TempDir(), "kept")
			watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
			geotest.Replace(t, path, bad.content)

			var told []error
			locator := open(t, geo.Options{Files: []string{path}, CopyFolder: folder, OnReload: func(_ string, err error) { told = append(told, err) }})
			if got := locator.Locate(addr(someone)); got != in("GB") {
				t.Errorf("got %+v, want GB", got)
			}
			if d := locator.Databases()[0]; d.Err == nil || d.Since.IsZero() || d.Path != path {
				t.Errorf("it is listed as %+v", d)
			}
			if len(told) != 1 || told[0] == nil {
				t.Errorf("told %v", told)
			}

			geotest.Replace(t, path, country(t, "IE"))
			if err := locator.Reload(); err != nil {
				t.Error(err)
			}
			if got := locator.Locate(addr(someone)); got != in("IE") || locator.Databases()[0].Err != nil {
				t.Errorf("got %+v, want IE; %v", got, locator.Databases()[0].Err)
			}
		})
	}
}

func TestTheCopyIsThatOfTheFileInUse(t *testing.T) {
	path, folder := geotest.File(t, country(t, "GB")), t.TempDir()
	locator := open(t, geo.Options{Files: []string{path}, CopyFolder: folder})
	watchUntil(t, locator, folder, 1, func() bool { return true })
	geotest.Replace(t, path, country(t, "IE"))
	watchUntil(t, locator, folder, 1, func() bool { return locator.Locate(addr(someone)) == in("IE") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := open(t, geo.Options{Files: []string{path}, CopyFolder: folder}).Locate(addr(someone)); got != in("IE") {
		t.Errorf("the copy says %+v", got)
	}
}

func TestACopyIsOfOneFileOnly(t *testing.T) {
	path, folder := geotest.File(t, country(t, "GB")), t.TempDir()
	watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
	if _, err := geo.Open(geo.Options{Files: []string{path + ".other"}, CopyFolder: folder}); err == nil {
		t.Error("a file that never was there is replaced by another's copy")
	}
}

func TestADamagedCopyIsNotTaken(t *testing.T) {
	path, folder := geotest.File(t, country(t, "GB")), t.TempDir()
	watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
	copies, _ := filepath.Glob(filepath.Join(folder, "*.mmdb"))
	write(t, copies[0], []byte("not a database"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := geo.Open(geo.Options{Files: []string{path}, CopyFolder: folder}); err == nil {
		t.Error("taken")
	}
}
