package main

import (
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

func TestTheDashboardsAreWhatIsGenerated(t *testing.T) {
	generated := files()
	for name, text := range generated {
		testkit.Golden(t, filepath.Join("dashboards", name), string(text))
	}
	committed, err := filepath.Glob("dashboards/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range committed {
		if generated[filepath.Base(path)] == nil {
			t.Errorf("%s is not generated", path)
		}
	}
}

func TestPanelsStandBesideEachOther(t *testing.T) {
	for _, d := range dashboards() {
		taken := make(map[[2]int]string)
		for _, p := range d.model()["panels"].([]object) {
			title, at := p["title"].(string), p["gridPos"].(object)
			for x := at["x"].(int); x < at["x"].(int)+at["w"].(int); x++ {
				for y := at["y"].(int); y < at["y"].(int)+at["h"].(int); y++ {
					if x >= columns || taken[[2]int{x, y}] != "" {
						t.Fatalf("%s: %q is outside, or where %q is", d.uid, title, taken[[2]int{x, y}])
					}
					taken[[2]int{x, y}] = title
				}
			}
		}
	}
}
