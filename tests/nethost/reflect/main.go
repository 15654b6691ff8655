// Command reflect writes the tables of proto/netrpc: what the real plugin package puts on the wire.
//
//	go run ./reflect [--check] [--out FOLDER] [--echo FILE]
//
// It reads the package's types with the type checker, not its text: a receiver of net/rpc is not
// exported, so that reflection at run time cannot reach it, while the type checker sees its
// methods, their arguments and every field behind them. The rules of net/rpc (which methods are
// served) and of encoding/gob (which fields travel, and in which shape) are applied here. The test
// of gobecho compares the outcome with the reflection and the gob streams of a running program.
//
// --check writes nothing; it names the files that differ and fails. --echo also writes the Go file
// that gives gobecho a value of each type.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	check := flag.Bool("check", false, "compare, write nothing")
	out := flag.String("out", "../../proto/netrpc", "the folder of the tables")
	echo := flag.String("echo", "gobecho/types.go", "the Go file that lists the types for gobecho")
	flag.Parse()
	if err := run(*out, *echo, *check); err != nil {
		fmt.Fprintln(os.Stderr, "reflect:", err)
		os.Exit(1)
	}
}

func run(out, echo string, check bool) error {
	source, err := load()
	if err != nil {
		return err
	}
	files, err := source.tables()
	if err != nil {
		return err
	}
	wanted := map[string][]byte{}
	for name, table := range files {
		wanted[filepath.Join(out, name)] = table.text()
	}
	if wanted[echo], err = source.echoFile(); err != nil {
		return err
	}
	if check {
		return compare(wanted)
	}
	for path, text := range wanted {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compare(wanted map[string][]byte) error {
	var stale []string
	for path, text := range wanted {
		found, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(found, text) {
			stale = append(stale, path)
		}
	}
	if stale != nil {
		return fmt.Errorf("%q differ from what the package says: run `go run ./reflect` in tests/nethost", stale)
	}
	return nil
}
