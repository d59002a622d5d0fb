package files

import "path/filepath"

// Generation is a short text that changes when a file below dir changed in a way
// that BuildKit's incremental transfer would not notice, since it compares only
// size, mtime and mode with the copy it has (moby/buildkit#2592), or would notice
// without telling BuildKit's cache, as of a directory's mode; and when this Cache
// cannot tell, because the stat cache is new. As part of the name of
// BuildKit's copy it makes the transfer a full one. dir is the Dir of a Set. It
// covers the Sets of dir whose Digest was asked for. Later commands have the same
// generation, if Save worked.
func (c *Cache) Generation(dir string) string {
	return c.store.generation(filepath.Clean(dir))
}
