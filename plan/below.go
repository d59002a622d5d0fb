package plan

// below is what targets need by whatever way.
type below struct {
	number map[string]int // of a target
	sets   []bits         // by number
}

// newBelow reads targets, needs first.
func newBelow(targets []*Target) below {
	b := below{map[string]int{}, make([]bits, len(targets))}
	for i, t := range targets {
		b.number[t.Name] = i
		for _, n := range t.Needs {
			if j, ok := b.number[n]; ok {
				b.sets[i] = b.sets[i].or(b.sets[j]).with(j)
			}
		}
	}
	return b
}

// of is all that a target needs.
func (b below) of(name string) bits { return b.sets[b.number[name]] }

// needs reports whether target needs name.
func (b below) needs(target, name string) bool { return b.of(target).has(b.number[name]) }

// bits is a set of small numbers. It is not changed once it is made.
type bits []uint64

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]>>(n%64)&1 == 1 }

// or has what is in either.
func (b bits) or(other bits) bits {
	out := make(bits, max(len(b), len(other)))
	copy(out, b)
	for i, word := range other {
		out[i] |= word
	}
	return out
}

// with has n, too.
func (b bits) with(n int) bits {
	one := make(bits, n/64+1)
	one[n/64] = 1 << (n % 64)
	return b.or(one)
}
