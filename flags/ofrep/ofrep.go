// Package ofrep speaks the OpenFeature Remote Evaluation Protocol (OFREP):
// Provider asks a server for flags, Handler answers clients.
package ofrep

import "encoding/json"

// An Evaluation is the outcome for one flag: a Value, or an ErrorCode. With
// neither, the server leaves the value to the default in the client's code.
type Evaluation struct {
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Variant  string          `json:"variant,omitempty"`
	Metadata map[string]any  `json:"metadata,omitempty"`

	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorDetails string `json:"errorDetails,omitempty"`
}

// A Bulk is the outcome for all flags.
type Bulk struct {
	Flags    []Evaluation   `json:"flags"`
	Metadata map[string]any `json:"metadata,omitempty"`
}
