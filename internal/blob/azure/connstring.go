package azure

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// parseConnectionString reads Key=Value;… as Azure's portal shows it. Errors
// repeat no part of it.
func parseConnectionString(s string) (account, error) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		if field == "" {
			continue
		}
		key, v, ok := strings.Cut(field, "=")
		if !ok {
			return account{}, badString("a part has no =")
		}
		fields[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(v)
	}
	acc := account{
		name:     fields["accountname"],
		key:      fields["accountkey"],
		sas:      strings.TrimPrefix(fields["sharedaccesssignature"], "?"),
		endpoint: fields["blobendpoint"],
	}
	if acc.key == "" && acc.sas == "" {
		return account{}, badString("it has neither AccountKey nor SharedAccessSignature")
	}
	if acc.endpoint == "" && acc.name != "" {
		protocol := cmp.Or(fields["defaultendpointsprotocol"], "https")
		suffix := cmp.Or(fields["endpointsuffix"], "core.windows.net")
		acc.endpoint = fmt.Sprintf("%s://%s.blob.%s", protocol, acc.name, suffix)
	}
	return acc, nil
}

func badString(why string) error {
	return fmt.Errorf("%w: bad connection string: %s; %s", blob.ErrConfig, why, hintString)
}
