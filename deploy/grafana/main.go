// Command grafana writes the dashboards: go generate ./deploy/grafana. They are
// described in dashboards.go, and provisioned with what is in provisioning.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
)

//go:generate go run . dashboards

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . FOLDER")
	}
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// files returns the dashboards by the names of their files.
func files() map[string][]byte {
	all := make(map[string][]byte)
	for _, d := range dashboards() {
		text, err := json.MarshalIndent(d.model(), "", "  ")
		if err != nil {
			panic(err) // it is made of maps, lists and text
		}
		all[d.uid+".json"] = append(text, '\n')
	}
	return all
}
