package workflows

import (
	"time"

	"github.com/superfly/ltx"
)

// Names of the signals by which whoever reads a replica keeps what it needs from
// expiring meanwhile.
const (
	SignalPin   = "pin"   // takes a Pin
	SignalUnpin = "unpin" // takes a Pin, of which only the id counts
)

// Pin asks for one state to stay restorable.
type Pin struct {
	ID    string    `json:"id"`
	TXID  ltx.TXID  `json:"txid,omitempty"` // 0 for the latest, or for At
	At    time.Time `json:"at,omitzero"`
	Until time.Time `json:"until,omitzero"` // when it ends by itself
}
