package stack

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// NewContainer creates an empty blob container for this test and deletes it
// at the test's end.
func (s *Stack) NewContainer(t testing.TB) string {
	t.Helper()
	const within = 10 * time.Second
	c, err := azblob.NewClientFromConnectionString(s.ConnectionString, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := containerName(t.Name())
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := c.CreateContainer(ctx, name, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		_, _ = c.DeleteContainer(ctx, name, nil) // a test may have ended its own stack
	})
	return name
}

// containerName makes a name that Azure allows (3 to 63 of a-z, 0-9 and single
// hyphens) and that tells which test it belongs to.
func containerName(test string) string {
	const room = 63 - 1 - 26 // beside a hyphen and the random part
	words := strings.FieldsFunc(strings.ToLower(test), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	name := strings.Join(words, "-")
	name = strings.TrimRight(name[:min(len(name), room)], "-")
	return name + "-" + strings.ToLower(rand.Text())
}
