package config

import "github.com/hashicorp/hcl/v2"

// A script is a compiled sequence of steps and what it needs.
type script struct {
	StepScript
	needs []need
	rng   hcl.Range
}

func (e *evaluator) steps(in *instance) {}
