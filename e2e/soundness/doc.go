// Package soundness holds the proof that a planned build makes what a clean one
// makes.
//
// Its test grows random projects: targets that stand on one another, contexts
// with ignore files, links, modes and hard links, Dockerfiles and steps of all
// kinds. It edits them at random, builds with all that was kept of earlier
// builds, and compares each image with that of a build which reuses nothing.
// What differs is a stale image, and there must be none. Targets that were
// solved in vain are counted. A second test has all images in a registry, and
// another engine most of the time: images then stand in for the steps of targets.
//
//	go test ./e2e/soundness                                  what CI runs: 300 edits, always the same
//	go test ./e2e/soundness -timeout 0 -args -edits 5000     the long form; also: make soundness
//	go test ./e2e/soundness -args -seed 7 -tree 3            one project of a run again
package soundness
