package workflows

import (
	"time"

	"github.com/superfly/ltx"
)

// Names of the signals by which whoever reads a replica keeps what it needs from
// expiring meanwhile.
const (
	SignalPin   = "pin"   // takes a Pin
	SignalUnpin = "unpin" // takes an Unpin
)

// Pin asks for one state to stay restorable.
type Pin struct {
	ID    string    `json:"id"`
	TXID  ltx.TXID  `json:"txid"` // 0 for the latest, or for At
	At    time.Time `json:"at,omitzero"`
	Until time.Time `json:"until"` // when it ends by itself
}

// Unpin ends a Pin.
type Unpin struct {
	ID string `json:"id"`
}
