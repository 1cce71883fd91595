package replica

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// Keys of the metadata beside blob.TimestampKey.
const (
	formatKey = "holdfastformat"
	writerKey = "holdfastwriter"
	chainKey  = "holdfastchain" // two words of 8 hex digits
	bootKey   = "holdfastboot"
	digestKey = "holdfastdigest"
	pagesKey  = "holdfastpages" // see PageList

	instanceKey = "holdfastinstance"
)

// encodeMetadata returns what is stored beside o's bytes. Empty values are left
// out, as not every store keeps them.
func encodeMetadata(o Object) blob.Metadata {
	meta := blob.Metadata{
		blob.TimestampKey: o.Created.Format(time.RFC3339Nano),
		formatKey:         strconv.Itoa(o.Format),
		chainKey:          fmt.Sprintf("%08x%08x", o.Chain[0], o.Chain[1]),
	}
	if o.Writer != "" {
		meta[writerKey] = o.Writer
	}
	if o.Boot != "" {
		meta[bootKey] = o.Boot
	}
	if o.Instance != "" {
		meta[instanceKey] = o.Instance
	}
	if o.Digest != 0 {
		meta[digestKey] = o.Digest.String()
	}
	if o.Pages != "" {
		meta[pagesKey] = o.Pages
	}
	return meta
}

// decodeInfo describes the object behind info, whose key is known to be good.
// Only a format that is not understood is an error: a value that cannot be read
// counts as absent, as a replica must restore even when a copy has lost them.
func decodeInfo(info blob.Info) (Object, error) {
	level, minTXID, maxTXID, err := ParseKey(info.Key)
	if err != nil {
		return Object{}, err
	}
	o := Object{
		File:   plan.File{Level: level, Min: minTXID, Max: maxTXID, Size: info.Size, Created: info.Modified.UTC(), Stored: info.Modified.UTC()},
		Writer: lookup(info.Metadata, writerKey),
		Boot:   lookup(info.Metadata, bootKey),
		Pages:  lookup(info.Metadata, pagesKey),

		Instance: lookup(info.Metadata, instanceKey),
	}
	if created, err := time.Parse(time.RFC3339Nano, lookup(info.Metadata, blob.TimestampKey)); err == nil {
		o.Created = created.UTC()
	}
	if chain, err := strconv.ParseUint(lookup(info.Metadata, chainKey), 16, 64); err == nil {
		o.Chain = [2]uint32{uint32(chain >> 32), uint32(chain)}
	}
	if d, err := digest.Parse(lookup(info.Metadata, digestKey)); err == nil {
		o.Digest = d
	}
	if format := lookup(info.Metadata, formatKey); format != "" {
		o.Format, err = strconv.Atoi(format)
		if err != nil || o.Format > Format {
			return Object{}, fmt.Errorf("%w: %s has format %q, this version reads up to %d; use a newer holdfast",
				ErrNewerFormat, info.Key, format, Format)
		}
	}
	return o, nil
}

// lookup returns the value of key, whatever the case in which the store hands
// it back.
func lookup(meta blob.Metadata, key string) string {
	if v, ok := meta[key]; ok {
		return v
	}
	for k, v := range meta {
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return ""
}
