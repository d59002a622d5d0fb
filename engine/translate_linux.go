package engine

import (
	"weak"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/moby/buildkit/solver"
	digest "github.com/opencontainers/go-digest"
)

// A translator is an imported cache that also finds what hangs on steps which
// were found in another one.
//
// BuildKit knows a step by what each cache calls it. What another cache calls it,
// it derives from the step's inputs, and gives up if an input has several keys
// of which one is not there (getIDFromDeps in solver/cachemanager.go of 0.34).
// A COPY from the build context always has one: that of the transfer itself. So
// a step of a target would run again whenever the layers of its parent came out
// of the parent's cache in a solve before (docker/buildx#414). Here every key of
// an input will do, as it does in a query.
//
// A cache that was imported never changes, and neither does a key, so what a
// key is called is found out once. Keys of solves that are over can be freed.
type translator struct {
	solver.CacheManager
	known *lru.Cache[weak.Pointer[solver.CacheKey], []*solver.CacheKey]
}

// maxWords is how many keys of other caches one cache remembers.
const maxWords = 8192

func newTranslator(cm solver.CacheManager) (solver.CacheManager, error) {
	known, err := lru.New[weak.Pointer[solver.CacheKey], []*solver.CacheKey](maxWords)
	return translator{cm, known}, err
}

// Query finds the results of an operation on deps.
func (t translator) Query(deps []solver.CacheKeyWithSelector, input solver.Index, dgst digest.Digest, output solver.Index) ([]*solver.CacheKey, error) {
	all, err := t.expand(deps)
	if err != nil {
		return nil, err
	}
	return t.CacheManager.Query(all, input, dgst, output)
}

// expand is deps, and the same in the words of the cache.
func (t translator) expand(deps []solver.CacheKeyWithSelector) ([]solver.CacheKeyWithSelector, error) {
	out := deps[:len(deps):len(deps)]
	type word struct{ id, selector string }
	seen := map[word]bool{}
	for _, d := range deps {
		same, err := t.of(d.CacheKey.CacheKey)
		if err != nil {
			return nil, err
		}
		for _, k := range same {
			w := word{k.ID, d.Selector.String()}
			if seen[w] {
				continue
			}
			seen[w] = true
			out = append(out, solver.CacheKeyWithSelector{Selector: d.Selector, CacheKey: solver.ExportableCacheKey{CacheKey: k}})
		}
	}
	return out, nil
}

// of lists the keys in the cache for the operation that k is the key of: those
// that the operation has on every one of its inputs.
func (t translator) of(k *solver.CacheKey) ([]*solver.CacheKey, error) {
	at := weak.Make(k)
	if same, ok := t.known.Get(at); ok {
		return same, nil
	}
	same, err := t.find(k)
	if err == nil {
		t.known.Add(at, same)
	}
	return same, err
}

func (t translator) find(k *solver.CacheKey) ([]*solver.CacheKey, error) {
	var same []*solver.CacheKey
	for i, alternatives := range k.Deps() {
		all, err := t.expand(alternatives)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		found, err := t.CacheManager.Query(all, solver.Index(i), k.Digest(), k.Output())
		if err != nil {
			return nil, err
		}
		if i > 0 {
			found = common(same, found)
		}
		if same = found; len(same) == 0 {
			return nil, nil
		}
	}
	return same, nil
}

// common are those of a that b has too.
func common(a, b []*solver.CacheKey) []*solver.CacheKey {
	in := make(map[string]bool, len(b))
	for _, k := range b {
		in[k.ID] = true
	}
	var out []*solver.CacheKey
	for _, k := range a {
		if in[k.ID] {
			out = append(out, k)
		}
	}
	return out
}
