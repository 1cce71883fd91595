package blobtest

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

func (s *suite) ranges(t *testing.T) {
	store := s.open(t)
	data := Bytes(1, 1000)
	mustPut(t, store, "full", data, nil)
	mustPut(t, store, "empty", nil, nil)
	for _, tt := range []struct {
		name           string
		offset, length int64
		want           []byte
	}{
		{"the whole", 0, -1, data},
		{"the whole by its length", 0, 1000, data},
		{"the start", 0, 100, data[:100]},
		{"the middle", 300, 200, data[300:500]},
		{"from the middle to the end", 300, -1, data[300:]},
		{"the last byte", 999, 1, data[999:]},
		{"over the end", 900, 500, data[900:]},
		{"at the end", 1000, 10, nil},
		{"beyond the end", 5000, 10, nil},
		{"beyond the end without length", 5000, -1, nil},
		{"nothing", 10, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.True(t, bytes.Equal(tt.want, mustGet(t, store, "full", tt.offset, tt.length)))
			require.Empty(t, mustGet(t, store, "empty", tt.offset, tt.length))
		})
	}
}

func (s *suite) missing(t *testing.T) {
	store := s.open(t)
	require.Empty(t, mustList(t, store, ""))
	mustBeAbsent(t, store, name(1))
	mustPut(t, store, name(1), []byte("x"), nil)
	mustBeAbsent(t, store, name(2))
	for _, length := range []int64{0, 1} {
		_, err := get(t.Context(), store, name(2), 10, length)
		require.ErrorIs(t, err, blob.ErrNotFound, "%d bytes", length)
	}
	_, err := store.Stat(t.Context(), "ltx/0")
	require.ErrorIs(t, err, blob.ErrNotFound, "what looks like a folder")
	_, err = get(t.Context(), store, "ltx", 0, -1)
	require.ErrorIs(t, err, blob.ErrNotFound, "what looks like a folder")
	_, err = store.Stat(t.Context(), name(1)+"/below")
	require.ErrorIs(t, err, blob.ErrNotFound, "below an object")
}

func (s *suite) metadata(t *testing.T) {
	store := s.open(t)
	want := blob.Metadata{
		blob.TimestampKey: "2026-01-02T03:04:05.006Z",
		"holdfastwriter":  "0123456789abcdef0123456789abcdef",
		"a1":              `"quotes", <angles> & a = b; ~!`,
	}
	mustPut(t, store, name(1), []byte("x"), want)
	mustPut(t, store, name(2), Bytes(1, block+1), want)
	for _, info := range mustList(t, store, "ltx/") {
		require.Equal(t, want, info.Metadata, "list %s", info.Key)
		stat, err := store.Stat(t.Context(), info.Key)
		require.NoError(t, err)
		require.Equal(t, want, stat.Metadata, "stat %s", info.Key)
		require.Equal(t, info.Size, stat.Size)
		require.Equal(t, info.Key, stat.Key)
	}
	want["a1"] = "changed by the caller afterwards"
	info, err := store.Stat(t.Context(), name(1))
	require.NoError(t, err)
	require.NotEqual(t, want["a1"], info.Metadata["a1"])
}

func (s *suite) times(t *testing.T) {
	store := s.open(t)
	before := time.Now().Add(-time.Minute)
	mustPut(t, store, name(1), []byte("x"), blob.Metadata{blob.TimestampKey: time.Now().UTC().Format(time.RFC3339Nano)})
	after := time.Now().Add(time.Minute)
	info, err := store.Stat(t.Context(), name(1))
	require.NoError(t, err)
	require.WithinRange(t, info.Modified, before, after)
	require.WithinRange(t, mustList(t, store, "")[0].Modified, before, after)
}

// clock brackets a put between two looks at the store's clock, which may count in
// seconds. What is put has no time of its own.
func (s *suite) clock(t *testing.T) {
	store := s.open(t)
	now := func() time.Time {
		at, err := store.Clock(t.Context())
		require.NoError(t, err)
		return at
	}
	before := now()
	require.WithinDuration(t, time.Now(), before, time.Minute)
	mustPut(t, store, name(1), []byte("x"), nil)
	after := now()
	require.Len(t, mustList(t, store, ""), 1, "looking at the clock leaves nothing")
	require.WithinRange(t, mustList(t, store, "")[0].Modified, before.Add(-time.Second), after.Add(time.Second))
	time.Sleep(1100 * time.Millisecond)
	require.True(t, now().After(before), "it goes on")
}

func (s *suite) list(t *testing.T) {
	store := s.open(t)
	order := make([]int, s.objects)
	for i := range order {
		order[i] = i * 7919 % s.objects // 7919 is prime: every number once, in disorder
	}
	var want []string
	for _, i := range order {
		mustPut(t, store, name(i), []byte{byte(i)}, blob.Metadata{"n": fmt.Sprint(i)})
		want = append(want, name(i))
	}
	sort.Strings(want)
	infos := mustList(t, store, "ltx/0/")
	require.Equal(t, want, keys(infos))
	for i, info := range infos {
		require.EqualValues(t, 1, info.Size)
		require.Equal(t, fmt.Sprint(i), info.Metadata["n"])
	}
}

func (s *suite) prefixes(t *testing.T) {
	store := s.open(t)
	all := []string{"a-b", "a.b", "a/b-c", "a/b/c", "a0", "b/a/a", "ltx/0/1.ltx", "ltx/1/1.ltx", "ltx/10/1.ltx"}
	for _, key := range all {
		mustPut(t, store, key, []byte(key), nil)
	}
	sort.Strings(all)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a-", "b/a/a", "ltx/1", "ltx/1/", "ltx/1/1.ltx", "lt", "none", "ltx/0/1.ltx/x"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		require.Equal(t, want, keys(mustList(t, store, prefix)), "prefix %q", prefix)
	}
}

func (s *suite) leaveList(t *testing.T) {
	store := s.open(t)
	for i := range 3 {
		mustPut(t, store, name(i), nil, nil)
	}
	seen := 0
	for info, err := range store.List(t.Context(), "") {
		require.NoError(t, err)
		require.Equal(t, name(0), info.Key)
		seen++
		break
	}
	require.Equal(t, 1, seen)
}
