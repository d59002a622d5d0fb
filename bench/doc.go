// Package bench compares strata with docker buildx. It is a module of its own,
// so that strata itself never depends on what it is compared with.
package bench
