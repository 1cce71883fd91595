package blob_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-db/holdfast/internal/blob"
)

func TestCheckKey(t *testing.T) {
	for _, tt := range []struct {
		name, key string
		ok        bool
	}{
		{"a replica's file", "ltx/0/0000000000000001-0000000000000001.ltx", true},
		{"one segment", "a", true},
		{"spaces and other alphabets", "a b/ß", true},
		{"nothing", "", false},
		{"the root", ".", false},
		{"a slash at the start", "/a", false},
		{"a slash at the end", "a/", false},
		{"two slashes", "a//b", false},
		{"the folder above", "a/../b", false},
		{"a hidden file", "a/.b", false},
		{"a hidden folder", ".holdfast/meta/a", false},
		{"Litestream's unfinished file", "ltx/0/a.ltx.tmp", false},
		{"a backslash", `a\b`, false},
		{"a newline", "a\nb", false},
		{"not UTF-8", "a\xff", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := blob.CheckKey(tt.key)
			require.Equal(t, tt.ok, err == nil, "%v", err)
			require.Equal(t, !tt.ok, errors.Is(err, blob.ErrInvalid))
		})
	}
}

func TestMetadataCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		meta blob.Metadata
		ok   bool
	}{
		{"none", nil, true},
		{"what a replica writes", blob.Metadata{blob.TimestampKey: "2026-01-02T03:04:05.006Z", "holdfastformat": "1"}, true},
		{"just the limit", blob.Metadata{"k": strings.Repeat("v", 8<<10-1)}, true},
		{"beyond the limit", blob.Metadata{"k": strings.Repeat("v", 8<<10)}, false},
		{"an upper-case key", blob.Metadata{"Key": "v"}, false},
		{"a hyphen in the key", blob.Metadata{"a-b": "v"}, false},
		{"a digit first", blob.Metadata{"1a": "v"}, false},
		{"an empty key", blob.Metadata{"": "v"}, false},
		{"an empty value", blob.Metadata{"a": ""}, false},
		{"a space at the end", blob.Metadata{"a": "v "}, false},
		{"a newline", blob.Metadata{"a": "v\nx"}, false},
		{"not ASCII", blob.Metadata{"a": "ß"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.meta.Check()
			require.Equal(t, tt.ok, err == nil, "%v", err)
			require.Equal(t, !tt.ok, errors.Is(err, blob.ErrInvalid))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	inner := errors.New("busy")
	err := error(&blob.ThrottledError{RetryAfter: time.Minute, Err: inner})
	require.ErrorIs(t, err, blob.ErrThrottled)
	require.ErrorIs(t, err, inner)
	wait, ok := blob.RetryAfter(err)
	require.True(t, ok)
	require.Equal(t, time.Minute, wait)

	_, ok = blob.RetryAfter(&blob.ThrottledError{Err: inner})
	require.False(t, ok, "a store that names no wait")
	_, ok = blob.RetryAfter(inner)
	require.False(t, ok)
}
