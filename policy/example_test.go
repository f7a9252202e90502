package policy_test

import (
	"fmt"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

func Example() {
	text := []byte(`
version: 1
routes:
  sign-up: [POST /signup]
  export: [/account/export]
jurisdictions:
  EU: announced
  FR:
    schedule:
      - {from: 2026-11-01T00:00:00Z, phase: announced}
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
`)
	p, err := document.Parse("policy.yaml", text)
	if err != nil {
		fmt.Println(err) // everything that is wrong, with lines and advice
		return
	}

	// Where a client is and what time it is are facts that the caller brings.
	snapshot := policy.Compile(p, nil, time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC))
	place := policy.Place{Country: "FR", Subdivisions: [2]policy.Code{"FR-IDF"}}

	decision, inDoubt := snapshot.DecideReadings(place, snapshot.Classify("GET", "example.org", "/inbox"))
	if inDoubt {
		fmt.Println("rejected: the app might read a request that is refused")
		return
	}
	fmt.Println(decision.Action, decision.Jurisdiction, decision.Phase, "since", decision.Since.Format(time.DateOnly))

	for _, match := range snapshot.Explain(place, "GET", "example.org", "/inbox").Matches {
		fmt.Printf("%s, %s: %s\n", match.Entry, match.Phase, match.Why)
	}
	// Output:
	// refuse FR withdrawn since 2026-12-01
	// FR, withdrawn: the most specific
	// EU, announced: FR is more specific
}
