// Package index keeps, for the fingerprint of a target, what came of building
// it: the digest of the image, its tags, archives and directories, when and by
// which run. It is how a run learns that nothing need be built.
//
// There are two: a Local in a directory of the user's, and a Remote in a
// repository of any OCI registry. Neither knows how a fingerprint comes about,
// what a target is, or whether the image still exists: whoever asks checks that.
// An index may vanish or lie at any time without harm. What is missing, damaged
// or of another schema version is a miss, and told as a warning.
package index
