package flags_test

import (
	"testing"

	"github.com/exitgate/exitgate/flags"
)

func open(t testing.TB, o flags.Options) *flags.Table {
	t.Helper()
	table, err := flags.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}
