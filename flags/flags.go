// Package flags is the OpenFeature edge: it evaluates flags for each
// jurisdiction, keeps what was accepted, and guards what a policy guarantees.
package flags
