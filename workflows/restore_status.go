package workflows

import (
	"fmt"
	"strings"

	"time"
)

// Markdown is the status for people, as the Temporal UI shows it.
func (s RestoreStatus) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("### %s since %s", s.Phase, stamp(s.Since))
	line("")
	line("- %s of %s", s.Request.target(), s.Request.Replica)
	line("- to %s on host %s", s.Request.Path, s.Request.Host)
	if s.Phase == RestoreHostOffline {
		line("- **host %s does not answer**; it is waited for until %s", s.Request.Host, stamp(s.Until))
	}
	if s.Pinned {
		line("- %s keeps what is read from expiring", s.Request.Database)
	}
	if s.Held != "" {
		line("- %s is paused, as its file is being replaced", s.Held)
	}
	if s.Problem != nil {
		line("- **%s**: %s", s.Problem.Type, oneLine(s.Problem.Message))
	}
	if d := s.Result; d != nil {
		line("- restored TXID **%s** of %s: %d bytes from %d objects in %s", d.TXID, stamp(d.Created), d.Bytes, d.Objects, time.Duration(d.Took))
		line("- %s", digested(d.Digested))
		if d.Replaced != "" {
			line("- %s goes on from it: its next pass compares all pages, and ships those that differ", d.Replaced)
		}
	}
	return b.String()
}

func digested(yes bool) string {
	if yes {
		return "its digest is that of the database that was shipped"
	}
	return "each object's checksum was compared; who wrote them has noted no digest of the database"
}
