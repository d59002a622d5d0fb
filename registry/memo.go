package registry

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/singleflight"
)

// A memo computes one value a key, once, whoever asks first. An error is a
// value too, unless the asker gave up.
type memo[T any] struct {
	flight singleflight.Group
	mu     sync.Mutex
	known  map[string]outcome[T]
}

type outcome[T any] struct {
	value T
	err   error
}

// do returns the value of key, calling f if nobody has. When the one who called
// f gave up, those who waited with it ask again.
func (m *memo[T]) do(ctx context.Context, key string, f func() (T, error)) (T, error) {
	for {
		if o, ok := m.peek(key); ok {
			return o.value, o.err
		}
		v, err, _ := m.flight.Do(key, func() (any, error) {
			if o, ok := m.peek(key); ok {
				return o.value, o.err
			}
			value, err := f()
			if ctx.Err() != nil {
				return value, err
			}
			o := m.keep(key, outcome[T]{value, err})
			return o.value, o.err
		})
		gaveUp := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
		if !gaveUp || ctx.Err() != nil {
			return v.(T), err
		}
	}
}

func (m *memo[T]) peek(key string) (outcome[T], bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.known[key]
	return o, ok
}

// keep makes o what is known of key, unless a value is known already. It returns
// what is known then.
func (m *memo[T]) keep(key string, o outcome[T]) outcome[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]outcome[T]{}
	}
	if had, ok := m.known[key]; ok && had.err == nil {
		return had
	}
	m.known[key] = o
	return o
}
