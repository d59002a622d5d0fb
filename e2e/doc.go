// Package e2e tests the strata program as its users have it: the scripts in
// testdata run the compiled program, which starts its own engine and talks to
// a registry on loopback.
//
// The base images are stand-ins; internal/testkit says what they are. The
// scripts need root and an OCI runtime.
package e2e
