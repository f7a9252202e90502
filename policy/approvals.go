package policy

import "time"

// Approvals say how many others must approve a change of the policy before it
// comes into force, by what it does.
type Approvals struct {
	Open            int           `yaml:"open" doc:"For a change by which somebody gets more than before."`
	Withdraw        int           `yaml:"withdraw" doc:"For one by which somebody gets less. In an emergency one person can withdraw at once, and another signs afterwards."`
	WeakenGuarantee int           `yaml:"weaken-guarantee" doc:"For one by which a flag may have a value that it could not have."`
	WeakenDemand    int           `yaml:"weaken-demand" doc:"For one that takes a demand back a stage, or makes it bind less."`
	Acknowledge     int           `yaml:"acknowledge" doc:"For one that acknowledges the breach of a guarantee."`
	Other           int           `yaml:"other" doc:"For any other."`
	Expire          time.Duration `yaml:"expire" default:"72h" doc:"How long a change waits for its approvals."`
}

// Needs returns how many approvals a change with these effects needs: as many
// as the effect that needs most. One that weakens the rules of approval needs
// as many as any rule asks for.
func (a Approvals) Needs(effects []Effect) int { panic("TODO") }

// Approvals returns the rules by which changes of the policy are approved.
func (p *Policy) Approvals() Approvals { panic("TODO") }
