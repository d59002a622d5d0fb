package main

import "runtime"

// eager lets more run at once until the function that it returns is called,
// unless the user has said by GOMAXPROCS what is right. Looking at ten thousand
// files is mostly short calls of the kernel; Go keeps a processor for each that
// is under way, so that with as many as the machine has they would stand idle.
func eager(lookupEnv func(string) (string, bool)) func() {
	if _, ok := lookupEnv("GOMAXPROCS"); ok {
		return func() {}
	}
	runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	return runtime.SetDefaultGOMAXPROCS
}
