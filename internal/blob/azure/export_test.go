package azure

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Bounds of this package.
const (
	BlockSize    = blockSize
	SmallSize    = smallSize
	BlocksAtOnce = blocksAtOnce
	CallsAtOnce  = callsAtOnce
)

// LeaveBlocks leaves only so many to others until the rest is given back.
func LeaveBlocks(t *testing.T, n int64) (giveBack func()) {
	if !room.TryAcquire(blocksAtOnce - n) {
		t.Fatal("some blocks are taken")
	}
	return func() { room.Release(blocksAtOnce - n) }
}

// AllBlocksAreFree tells whether no put holds any.
func AllBlocksAreFree() bool {
	free := room.TryAcquire(blocksAtOnce)
	if free {
		room.Release(blocksAtOnce)
	}
	return free
}

// SetTimes shortens how long an answer and the next byte of a download may
// take, until t ends. Tests that use it do not run in parallel.
func SetTimes(t *testing.T, answer, stall time.Duration) {
	oldAnswer, oldStall := answerTime, stallTime
	t.Cleanup(func() { answerTime, stallTime = oldAnswer, oldStall })
	answerTime, stallTime = answer, stall
}

// SetFirstByte shortens how long the beginning of any answer may take, until t
// ends. Tests that use it do not run in parallel.
func SetFirstByte(t *testing.T, first time.Duration) {
	old := transport
	t.Cleanup(func() { transport = old })
	transport = transport.Clone()
	transport.ResponseHeaderTimeout = first
}

// SetIdentity replaces the process's identity until t ends.
func SetIdentity(t *testing.T, cred azcore.TokenCredential) {
	old := identity
	t.Cleanup(func() { identity = old })
	identity = func() (azcore.TokenCredential, error) { return tokenSource{cred}, nil }
}
