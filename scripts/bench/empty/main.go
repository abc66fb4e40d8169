// Command empty is what bench takes for the plain cost of starting a small Go process:
// it imports os, as every program does, and ends.
package main

import "os"

func main() { os.Exit(0) }
