package source

import "time"

// ForgetRivals has the next look for Litestream see what is there now.
func ForgetRivals() {
	rivals.mu.Lock()
	defer rivals.mu.Unlock()
	rivals.read = time.Time{}
}
