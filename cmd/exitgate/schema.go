package main

import (
	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/policy/document"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema policy|config",
		Short: "Print the JSON Schema of the policy or of the settings",
		Long: `Print the JSON Schema of the policy document or of the settings file. It
describes every setting, and an editor completes and checks by it.`,
		Example: `  exitgate schema policy > policy.schema.json
  # then, as the first line of policy.yaml, for editors:
  # yaml-language-server: $schema=policy.schema.json`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"policy", "config"},
		RunE: func(cmd *cobra.Command, args []string) error {
			schema := document.Schema
			if args[0] == "config" {
				schema = config.Schema
			}
			_, err := cmd.OutOrStdout().Write(schema())
			return exitFailure(err)
		},
	}
}
