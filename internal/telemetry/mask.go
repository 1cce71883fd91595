package telemetry

import (
	"io"
	"strings"
)

// masked stands where a secret would have.
const masked = "[secret]"

// Mask returns text without any of the secrets. It is the last line of defence:
// nothing should ever hand them over in the first place.
func Mask(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, masked)
		}
	}
	return text
}

// MaskWriter returns a writer that masks secrets in each piece before w gets
// it. A secret in two pieces gets through, so each Write should be a line.
func MaskWriter(w io.Writer, secrets []string) io.Writer {
	return &maskWriter{w: w, secrets: secrets}
}

type maskWriter struct {
	w       io.Writer
	secrets []string
}

// Write masks p and reports all of it as written.
func (m *maskWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(m.w, Mask(string(p), m.secrets)); err != nil {
		return 0, err
	}
	return len(p), nil
}
