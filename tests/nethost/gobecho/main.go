// Command gobecho is the real encoding/gob and the real types, for tests of another implementation.
//
// It reads one JSON object a line on stdin and answers each with one line on stdout:
//
//	{"type": T, "gob": HEX}      decode a stream of values of type T, then encode them again
//	{"type": T, "values": [..]}  make the values and encode them as one stream
//
// Both are answered with {"gob": HEX, "values": [..]}, or with {"error": TEXT}. T is a Go type
// expression: bool, uint8, []string, map[string]any, *model.Post, struct{ A int; B []any } and every
// name of proto/netrpc/types.tsv. values.go says how a value looks in JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	// Its init registers the types that travel in interfaces.
	_ "github.com/mattermost/mattermost/server/public/plugin"
)

type order struct {
	Type   string `json:"type"`
	Gob    string `json:"gob"`
	Values []any  `json:"values"`
}

type answer struct {
	Gob    string `json:"gob"`
	Values []any  `json:"values"`
	Error  string `json:"error,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gobecho:", err)
		os.Exit(1)
	}
}

func serve(from io.Reader, to io.Writer) error {
	lines := bufio.NewReader(from)
	out := bufio.NewWriter(to)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := json.Marshal(answerTo(line))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// answerTo never fails: what goes wrong, panics of encoding/gob included, is the answer's error.
func answerTo(line []byte) (reply answer) {
	defer func() {
		if fault := recover(); fault != nil {
			reply = answer{Error: fmt.Sprint("panic: ", fault)}
		}
	}()
	reply, err := echo(line)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return reply
}

func echo(line []byte) (answer, error) {
	var asked order
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber() // 64 bits do not fit into a float
	if err := decoder.Decode(&asked); err != nil {
		return answer{}, err
	}
	of, err := typeOf(asked.Type)
	if err != nil {
		return answer{}, err
	}
	var values []reflect.Value
	if asked.Gob != "" {
		values, err = decodeAll(of, asked.Gob)
	} else {
		values, err = makeAll(of, asked.Values)
	}
	if err != nil {
		return answer{}, err
	}
	return encodeAll(values)
}

func decodeAll(of reflect.Type, text string) ([]reflect.Value, error) {
	stream, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	decoder := gob.NewDecoder(bytes.NewReader(stream))
	var all []reflect.Value
	for {
		value := reflect.New(of)
		err := decoder.DecodeValue(value)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", len(all), err)
		}
		all = append(all, value)
	}
}

func makeAll(of reflect.Type, wanted []any) ([]reflect.Value, error) {
	var all []reflect.Value
	for at, one := range wanted {
		value := reflect.New(of)
		if err := fill(value.Elem(), one); err != nil {
			return nil, fmt.Errorf("value %d: %w", at, err)
		}
		all = append(all, value)
	}
	return all, nil
}

func encodeAll(values []reflect.Value) (answer, error) {
	var stream bytes.Buffer
	encoder := gob.NewEncoder(&stream)
	shown := make([]any, 0, len(values))
	for at, value := range values {
		// A pointer, so that an interface is sent as one. Gob looks through all others.
		if err := encoder.EncodeValue(value); err != nil {
			return answer{}, fmt.Errorf("value %d: %w", at, err)
		}
		one, err := show(value.Elem())
		if err != nil {
			return answer{}, err
		}
		shown = append(shown, one)
	}
	return answer{Gob: hex.EncodeToString(stream.Bytes()), Values: shown}, nil
}
