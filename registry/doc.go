// Package registry holds what the user says about registries - mirrors,
// transport security, credentials - and talks to them accordingly.
//
// It knows hosts and references and nothing of targets. Settings come from a
// file of the user's and from flags, never from a checkout. Credentials are
// sent to the registry they belong to and to the token server of the same
// owner, and nowhere else.
package registry
