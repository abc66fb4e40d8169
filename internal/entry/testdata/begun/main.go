// Command begun shows how a program of the suite begins: its processors, arguments and
// environment.
package main

import (
	"fmt"
	"os"
	"runtime"

	"quail/internal/entry"
)

func main() {
	env, one := entry.Environment(os.Environ())
	fmt.Printf("%d %q %q %v\n", runtime.GOMAXPROCS(0), os.Args[1:], env, one)
}
