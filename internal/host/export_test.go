package host

import "time"

func init() { tellingAfter = 500 * time.Millisecond }
