package blobtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

func (s *suite) delete(t *testing.T) {
	store := s.open(t)
	for i := range 3 {
		mustPut(t, store, name(i), []byte("x"), blob.Metadata{"a": "b"})
	}
	require.NoError(t, store.Delete(t.Context()))
	require.NoError(t, store.Delete(t.Context(), name(1), name(7)), "one of them is missing")
	mustBeAbsent(t, store, name(1))
	require.Equal(t, []string{name(0), name(2)}, keys(mustList(t, store, "")))
	require.NoError(t, store.Delete(t.Context(), name(1)), "a second time")
	require.NoError(t, s.open(t).Delete(t.Context(), name(1)), "from an empty store")
}

func (s *suite) deleteMany(t *testing.T) {
	store := s.open(t)
	var gone []string
	for i := range s.objects {
		if i%10 != 1 { // some are missing all along
			mustPut(t, store, name(i), nil, nil)
		}
		if i != 5 {
			gone = append(gone, name(i))
		}
	}
	require.NoError(t, store.Delete(t.Context(), gone...))
	require.Equal(t, []string{name(5)}, keys(mustList(t, store, "")))
}

func (s *suite) putAfterDelete(t *testing.T) {
	store := s.open(t)
	for _, writer := range []string{"first", "second"} {
		mustPut(t, store, name(1), []byte(writer), blob.Metadata{"writer": writer})
		require.Equal(t, writer, string(mustGet(t, store, name(1), 0, -1)))
		info, err := store.Stat(t.Context(), name(1))
		require.NoError(t, err)
		require.Equal(t, writer, info.Metadata["writer"])
		require.NoError(t, store.Delete(t.Context(), name(1)))
	}
}
