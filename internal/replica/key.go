package replica

import (
	"fmt"
	"strings"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// root is the folder of all objects, as a prefix.
const root = "ltx/"

// Key returns the name of an object, relative to the replica.
func Key(level int, minTXID, maxTXID ltx.TXID) string {
	return fmt.Sprintf("%s%d/%s", root, level, ltx.FormatFilename(minTXID, maxTXID))
}

// ParseKey reads a name that Key wrote. Every other name is an error, also one
// that only differs in the case of a digit, and names of objects that cannot be:
// TXID 0, a range that runs backwards, a snapshot that does not begin at 1.
func ParseKey(key string) (level int, minTXID, maxTXID ltx.TXID, err error) {
	rest, ok := strings.CutPrefix(key, root)
	if !ok || len(rest) < 2 || rest[0] < '0' || rest[0] > '9' || rest[1] != '/' {
		return 0, 0, 0, fmt.Errorf("object name %q: want ltx/LEVEL/MIN-MAX.ltx", key)
	}
	level = int(rest[0] - '0')
	minTXID, maxTXID, err = ltx.ParseFilename(rest[2:])
	if err != nil {
		return 0, 0, 0, fmt.Errorf("object name %q: %w", key, err)
	}
	if minTXID == 0 || minTXID > maxTXID || (level == plan.SnapshotLevel && minTXID != 1) {
		return 0, 0, 0, fmt.Errorf("object name %q: no such range on level %d", key, level)
	}
	return level, minTXID, maxTXID, nil
}
