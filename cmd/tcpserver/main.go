package main
import ("quail/internal/prog";"quail/internal/tcpserver")
func main() { prog.Main("tcpserver", tcpserver.Run) }
