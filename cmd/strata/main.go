// Command strata builds many container images as one graph.
//
// The command layer turns flags into one call and prints what comes back; all
// decisions are made in the packages below it.
package main

import "os"

func main() {
	if !isEngine(os.Args[1:]) && tunes(os.LookupEnv) {
		tuneCollector()
	}
	os.Exit(run(os.Args[1:], osStreams()))
}
