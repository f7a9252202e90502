package geo_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// watchUntil watches until the folder of copies has so many of them.
func watchUntil(t *testing.T, locator *geo.Locator, folder string, copies int, done func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { locator.Watch(ctx) })
	testkit.Eventually(t, "the copy is written", func() bool {
		found, _ := filepath.Glob(filepath.Join(folder, "*.mmdb"))
		return len(found) == copies && done()
	})
	stop()
	watching.Wait()
}

func TestOpen_invalidFileIsReplacedByItsCopy(t *testing.T) {
	for _, bad := range badFiles(t) {
		t.Run(bad.name, func(t *testing.T) {
			path, folder := geotest.File(t, country(t, "GB")), filepath.Join(t.TempDir(), "copies")
			watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
			geotest.Replace(t, path, bad.content)

			var reloads []error
			locator := open(t, geo.Options{Files: []string{path}, CopyFolder: folder, OnReload: func(_ string, err error) { reloads = append(reloads, err) }})
			if got := locator.Locate(addr(someone)); got != in("GB") {
				t.Errorf("got %+v, want GB", got)
			}
			if d := locator.Databases()[0]; d.Err == nil || d.Since.IsZero() || d.Path != path {
				t.Errorf("it is listed as %+v", d)
			}
			if len(reloads) != 1 || reloads[0] == nil {
				t.Errorf("reloads %v", reloads)
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

func TestCopy_followsTheFileInUse(t *testing.T) {
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

func TestCopy_isOfOneFileOnly(t *testing.T) {
	path, folder := geotest.File(t, country(t, "GB")), t.TempDir()
	watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
	if _, err := geo.Open(geo.Options{Files: []string{path + ".other"}, CopyFolder: folder}); err == nil {
		t.Error("the copy of another file is used")
	}
}

func TestOpen_damagedCopyIsNotUsed(t *testing.T) {
	path, folder := geotest.File(t, country(t, "GB")), t.TempDir()
	watchUntil(t, open(t, geo.Options{Files: []string{path}, CopyFolder: folder}), folder, 1, func() bool { return true })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	copies, _ := filepath.Glob(filepath.Join(folder, "*.mmdb"))
	for _, content := range [][]byte{[]byte("not a database"), country(t, "IE")} {
		write(t, copies[0], content)
		if _, err := geo.Open(geo.Options{Files: []string{path}, CopyFolder: folder}); err == nil {
			t.Error("used")
		}
	}
}
