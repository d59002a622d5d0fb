// Package bench compares strata with docker buildx. It is a module of its own,
// so that strata itself never depends on what it is compared with.
//
//	compare   what both print of a build file, on real files
//	language  how long they read and evaluate build files
//	builds    how long they build, and what they ask of a daemon and a registry
//	work      the program in the images that builds makes
package bench
