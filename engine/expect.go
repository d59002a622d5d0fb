package engine

import (
	"os"
	"strings"
)

// Expected says which engine Open would connect to, without asking any. ok is
// false if only Open can tell, as when a Docker Engine may be there.
func Expected(opts Options) (kind Kind, address string, ok bool) {
	opts = opts.withDefaults()
	scheme, rest, _ := strings.Cut(opts.Address, ":")
	switch {
	case opts.Address == string(KindEmbedded):
		return KindEmbedded, embeddedName, true
	case scheme == string(KindDocker):
		return KindDocker, opts.Address, true
	case strings.HasPrefix(rest, "//"):
		return KindRemote, opts.Address, true
	case opts.Address != "":
		return "", opts.Address, false // Open says what is wrong
	}
	place, err := findDocker(opts, "")
	if err != nil || place.chosen {
		return "", "", false
	}
	if path, isUnix := strings.CutPrefix(place.endpoint.Host, "unix://"); isUnix {
		if _, err := os.Stat(path); err != nil {
			return KindEmbedded, embeddedName, true
		}
	}
	return "", "", false
}
