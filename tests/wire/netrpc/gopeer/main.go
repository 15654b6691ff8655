// Gopeer is the other side of the net/rpc wire's cores: Go's own encoding/gob and net/rpc, and
// HashiCorp's yamux. Each command reads what to do from standard input or a socket and prints what
// it saw; the tests of tests/wire/netrpc start it.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{
		"gob":     runGob,
		"yamux":   runYamux,
		"rpc":     runRPC,
		"session": runSession,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: gopeer gob | yamux client|server SOCKET | rpc SOCKET | session SOCKET")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}
