package config

import "strings"

// Checkout returns the commit and branch that the git checkout around dir is at,
// "" for what can not be told: there is none, or HEAD names no branch.
func Checkout(dir string) (commit, branch string) {
	r := &repository{dir: dir}
	if r.open() != nil {
		return "", ""
	}
	commit, err := r.commit()
	if err != nil {
		commit = ""
	}
	branch, _ = strings.CutPrefix(r.head, "refs/heads/")
	return commit, branch
}
