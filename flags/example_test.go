package flags_test

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// newProvider stands for the app's own provider. Somebody has switched
// encryption off for France.
func newProvider() *memprovider.InMemoryProvider {
	byJurisdiction := func(flag memprovider.InMemoryFlag, about openfeature.FlattenedContext) (any, openfeature.ProviderResolutionDetail) {
		return about["jurisdiction"] != "FR", openfeature.ProviderResolutionDetail{Reason: openfeature.TargetingMatchReason}
	}
	return memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"end-to-end-encryption": {State: memprovider.Enabled, ContextEvaluator: &byJurisdiction},
	})
}

func from(jurisdiction string) openfeature.EvaluationContext {
	return openfeature.NewEvaluationContext("user-1", map[string]any{"jurisdiction": jurisdiction})
}

// An app without a gateway puts the guard around its provider: no part of it
// gets a value that is below what is guaranteed.
func ExampleGuard_Provider() {
	p, err := document.Parse("policy.yaml", []byte(`
version: 1
guarantees:
  end-to-end-encryption: {require: true}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	guard := flags.GuardOf(p, func(b *flags.Breach) { fmt.Println("alarm:", b.Flag, "in", b.Jurisdiction) })

	ctx := context.Background()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, guard.Provider(newProvider())); err != nil {
		fmt.Println(err)
		return
	}
	defer api.Shutdown(ctx)
	client := api.NewClient()

	// The default is what the app falls back to: it has to be good, too.
	for _, jurisdiction := range []string{"DE", "FR"} {
		encrypt, err := client.BooleanValue(ctx, "end-to-end-encryption", true, from(jurisdiction))
		fmt.Println(jurisdiction, encrypt, err)
	}
	// Output:
	// DE true <nil>
	// alarm: end-to-end-encryption in FR
	// FR true error code: GENERAL: the value of end-to-end-encryption in FR is below what is guaranteed (require true), and is withheld
}

// As a hook the guard needs no other provider: it is added to the API, to one
// client or to one evaluation. An app that would rather refuse than fall back
// to its default looks at the error.
func ExampleGuard_Hook() {
	required, _ := policy.ValueOf(true)
	guard := flags.NewGuard(map[string]policy.Guarantee{
		"end-to-end-encryption": {Require: &required},
	}, func(b *flags.Breach) {
		if b.Default {
			fmt.Println("alarm: the default in the code is", b.Value)
		}
	})

	ctx := context.Background()
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, newProvider()); err != nil {
		fmt.Println(err)
		return
	}
	defer api.Shutdown(ctx)
	client := api.NewClient()
	client.AddHooks(guard.Hook())

	send := func(jurisdiction string) string {
		encrypt, err := client.BooleanValue(ctx, "end-to-end-encryption", false, from(jurisdiction))
		if err != nil {
			return "not sent"
		}
		return fmt.Sprintf("sent, encrypted: %t", encrypt)
	}
	fmt.Println("DE:", send("DE"))
	fmt.Println("FR:", send("FR"))
	// Output:
	// DE: sent, encrypted: true
	// alarm: the default in the code is false
	// FR: not sent
}
