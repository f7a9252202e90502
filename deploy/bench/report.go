package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A report is all that was measured.
type report struct {
	Started      time.Time     `json:"started"`
	Options      settings      `json:"settings"`
	Measurements []measurement `json:"measurements"`
	Memory       []memory      `json:"memory"`
}

// settings are the options that a reader needs to judge the numbers.
type settings struct {
	Rounds      int `json:"rounds"`
	Seconds     int `json:"seconds"`
	Connections int `json:"connections"`
	Streams     int `json:"streamsPerHTTP2Connection"`
}

func (o options) public() settings {
	return settings{Rounds: o.rounds, Seconds: o.seconds, Connections: o.connections, Streams: o.streams}
}

// memory is a server's resident memory before the first load and after the
// last.
type memory struct {
	Peer     string  `json:"peer"`
	IdleMB   float64 `json:"idleMB"`
	LoadedMB float64 `json:"loadedMB"`
}

// A summary is the median of a server's rounds in one scenario.
type summary struct {
	Scenario          string  `json:"scenario"`
	Peer              string  `json:"peer"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	CPUMicros         float64 `json:"cpuMicrosPerRequest"`
	P50Millis         float64 `json:"p50Millis"`
	P99Millis         float64 `json:"p99Millis"`
	CPURatio          float64 `json:"cpuToNginx,omitempty"` // median of the rounds' ratios
}

const baseline = "nginx"

func (r report) summaries() []summary {
	var all []summary
	for _, scenario := range scenarios {
		for _, peer := range r.Memory { // one each, in order
			own := r.rounds(scenario.name, peer.Peer)
			s := summary{
				Scenario:          scenario.name,
				Peer:              peer.Peer,
				RequestsPerSecond: median(own, func(m measurement) float64 { return m.RequestsPerSecond }),
				CPUMicros:         median(own, func(m measurement) float64 { return m.CPUMicros }),
				P50Millis:         median(own, func(m measurement) float64 { return m.P50Millis }),
				P99Millis:         median(own, func(m measurement) float64 { return m.P99Millis }),
			}
			if base := r.rounds(scenario.name, baseline); len(base) == len(own) {
				s.CPURatio = median(own, func(m measurement) float64 {
					return m.CPUMicros / max(base[m.Round-1].CPUMicros, 0.1) // less is unmeasurable
				})
			}
			all = append(all, s)
		}
	}
	return all
}

// rounds returns a server's measurements in one scenario, in order of rounds.
func (r report) rounds(scenario, peer string) []measurement {
	var found []measurement
	for _, m := range r.Measurements {
		if m.Scenario == scenario && m.Peer == peer {
			found = append(found, m)
		}
	}
	return found
}

func median(of []measurement, value func(measurement) float64) float64 {
	values := make([]float64, len(of))
	for i, m := range of {
		values[i] = value(m)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

func (r report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		report
		Summaries []summary `json:"summaries"`
	}{r, r.summaries()})
}

func (r report) writeTable(w io.Writer) error {
	var t strings.Builder
	scenario := ""
	for _, s := range r.summaries() {
		if s.Scenario != scenario {
			scenario = s.Scenario
			fmt.Fprintf(&t, "%-18s %11s %15s %9s %9s %13s\n", scenario, "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "CPU to nginx")
		}
		ratio := "-"
		if s.CPURatio > 0 {
			ratio = fmt.Sprintf("%.2f", s.CPURatio)
		}
		fmt.Fprintf(&t, "  %-16s %11.0f %15.1f %9.2f %9.2f %13s\n", s.Peer, s.RequestsPerSecond, s.CPUMicros, s.P50Millis, s.P99Millis, ratio)
	}
	fmt.Fprintf(&t, "%-18s %11s %15s\n", "resident memory", "idle MB", "after load MB")
	for _, m := range r.Memory {
		fmt.Fprintf(&t, "  %-16s %11.1f %15.1f\n", m.Peer, m.IdleMB, m.LoadedMB)
	}
	fmt.Fprintf(&t, "\nMedian of %d rounds of %d s; %d connections, over HTTP/2 with %d streams each; TLS 1.3; one core a server.\n",
		r.Options.Rounds, r.Options.Seconds, r.Options.Connections, r.Options.Streams)
	other := median(r.Measurements, func(m measurement) float64 { return m.OtherWork })
	if other > 0.05 {
		fmt.Fprintf(&t, "The servers' core was %.0f%% busy with other work: all figures are too high, the ratios less so.\n", other*100)
	}
	_, err := io.WriteString(w, t.String())
	return err
}
