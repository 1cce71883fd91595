package mem_test

import (
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/blobtest"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return mem.New() }, blobtest.Objects(5500))
}
