package config

import "strings"

// nearest returns the candidate with the smallest edit distance to name, or ""
// when none is near enough to be what was meant: what comes before the last dot,
// or is in every variable's name, makes nothing near.
func nearest(name string, candidates []string) string {
	own := strings.TrimPrefix(name[strings.LastIndexByte(name, '.')+1:], EnvPrefix)
	best, bestDistance := "", len(own)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
