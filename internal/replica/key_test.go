package replica_test

import (
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
)

func TestKey(t *testing.T) {
	got := replica.Key(3, 5, 0x1f)
	if want := "ltx/3/0000000000000005-000000000000001f.ltx"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseKey(t *testing.T) {
	for _, tc := range []struct {
		name, key string
		ok        bool
	}{
		{"level 0", "ltx/0/0000000000000001-0000000000000001.ltx", true},
		{"a merged range", "ltx/8/0000000000000002-00000000000000ff.ltx", true},
		{"a snapshot", "ltx/9/0000000000000001-ffffffffffffffff.ltx", true},
		{"no level", "ltx/0000000000000001-0000000000000001.ltx", false},
		{"level 10", "ltx/10/0000000000000001-0000000000000001.ltx", false},
		{"level a", "ltx/a/0000000000000001-0000000000000001.ltx", false},
		{"another root", "lty/0/0000000000000001-0000000000000001.ltx", false},
		{"below another root", "x/ltx/0/0000000000000001-0000000000000001.ltx", false},
		{"upper case", "ltx/0/000000000000000A-000000000000000A.ltx", false},
		{"short", "ltx/0/1-1.ltx", false},
		{"unfinished", "ltx/0/0000000000000001-0000000000000001.ltx.tmp", false},
		{"a folder more", "ltx/0/a/0000000000000001-0000000000000001.ltx", false},
		{"TXID 0", "ltx/0/0000000000000000-0000000000000000.ltx", false},
		{"backwards", "ltx/0/0000000000000002-0000000000000001.ltx", false},
		{"a snapshot not from 1", "ltx/9/0000000000000002-0000000000000003.ltx", false},
		{"empty", "", false},
		{"only the root", "ltx/", false},
		{"only a level", "ltx/0/", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, _, err := replica.ParseKey(tc.key); (err == nil) != tc.ok {
				t.Errorf("ParseKey(%q): %v, want ok %v", tc.key, err, tc.ok)
			}
		})
	}
}

// Law: what is parsed is written back as it was, and what Key writes of a
// possible range is parsed as that range.
func FuzzParseKey(f *testing.F) {
	f.Add("ltx/0/0000000000000001-0000000000000001.ltx", 0, uint64(1), uint64(1))
	f.Add("ltx/9/0000000000000001-00000000000000ff.ltx", 9, uint64(1), uint64(7))
	f.Add("ltx/9/0000000000000002-0000000000000003.ltx", 4, uint64(5), uint64(4))
	f.Fuzz(func(t *testing.T, key string, level int, lo, hi uint64) {
		if level, lo, hi, err := replica.ParseKey(key); err == nil {
			if again := replica.Key(level, lo, hi); again != key {
				t.Errorf("%q was parsed as %q", key, again)
			}
			if lo < 1 || hi < lo || level < 0 || level > 9 {
				t.Errorf("%q was parsed as level %d, %d to %d", key, level, lo, hi)
			}
		}
		possible := level >= 0 && level <= 9 && lo >= 1 && lo <= hi && (level < 9 || lo == 1)
		gotLevel, gotLo, gotHi, err := replica.ParseKey(replica.Key(level, ltx.TXID(lo), ltx.TXID(hi)))
		if possible != (err == nil) {
			t.Errorf("level %d, %d to %d: %v", level, lo, hi, err)
		}
		if err == nil && (gotLevel != level || uint64(gotLo) != lo || uint64(gotHi) != hi) {
			t.Errorf("level %d, %d to %d came back as level %d, %d to %d", level, lo, hi, gotLevel, gotLo, gotHi)
		}
	})
}
