package main

import (
	"bytes"
	"encoding/csv"
	"encoding/gob"
	"os"
	"reflect"
	"strings"
	"testing"
)

// rows reads a table of proto/netrpc, each row by the names of its columns.
func rows(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := os.Open("../../../proto/netrpc/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	reader := csv.NewReader(file)
	reader.Comma, reader.LazyQuotes = '\t', true
	all, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]string
	for _, row := range all[1:] {
		cells := map[string]string{}
		for at, title := range all[0] {
			cells[title] = row[at]
		}
		found = append(found, cells)
	}
	return found
}

// The tables come from the type checker. Here the running program's own reflection judges them.
func TestTypesAreWhatReflectionFinds(t *testing.T) {
	wanted := map[string][]string{}
	for _, row := range rows(t, "types.tsv") {
		line := row["field"] + " " + row["Go type"] + " " + row["kind"] + " " + row["gob-visible"]
		wanted[row["type"]] = append(wanted[row["type"]], line)
	}
	if len(wanted) < 700 {
		t.Fatalf("types.tsv has %d types only", len(wanted))
	}
	for name, lines := range wanted {
		of, err := typeOf(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found := reflected(of); !reflect.DeepEqual(found, lines) {
			t.Errorf("%s\nreflection: %q\ntypes.tsv:  %q", name, found, lines)
		}
	}
}

func reflected(of reflect.Type) []string {
	_, opaque, _ := showOpaque(reflect.New(of).Elem())
	var lines []string
	for at := range of.NumField() {
		field := of.Field(at)
		behind := field.Type
		for behind.Kind() == reflect.Pointer {
			behind = behind.Elem()
		}
		visible := ""
		if sent(field) && !opaque {
			visible = field.Name
		}
		lines = append(lines, field.Name+" "+field.Type.String()+" "+behind.Kind().String()+" "+visible)
	}
	if lines == nil {
		lines = []string{"-   -"}
	}
	return lines
}

// Gob writes the registered name of what an interface holds.
func TestRegisteredNamesAreWhatGobSends(t *testing.T) {
	for _, row := range rows(t, "registered.tsv") {
		if strings.Contains(row["Go type"], "[*") {
			continue // a type expression cannot name a generic type with its argument's whole path
		}
		of, err := typeOf(row["Go type"])
		if err != nil {
			t.Errorf("%s: %v", row["Go type"], err)
			continue
		}
		held := reflect.New(of).Elem()
		if of.Kind() == reflect.Pointer {
			held = reflect.New(of.Elem())
		}
		wrapped := held.Interface()
		var stream bytes.Buffer
		if err := gob.NewEncoder(&stream).Encode(&wrapped); err != nil {
			t.Errorf("%s: %v", row["registered name"], err)
		} else if !bytes.Contains(stream.Bytes(), []byte(row["registered name"])) {
			t.Errorf("%s is sent as %q", row["registered name"], stream.Bytes())
		}
	}
}

// Each type of the tables passes through gob as the zero value and as a pointer's.
func TestEveryTypeHasAStream(t *testing.T) {
	for name, of := range named {
		value := reflect.New(of)
		if (of.NumField() > 0 && !anySent(of)) || name == "x509.OID" {
			continue // gob refuses a struct of which nothing travels, an OID its own zero value
		}
		reply, err := encodeAll([]reflect.Value{value, value})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := decodeAll(of, reply.Gob)
		if err != nil || len(again) != 2 {
			t.Errorf("%s: %d values, %v", name, len(again), err)
		}
	}
}

func anySent(of reflect.Type) bool {
	for at := range of.NumField() {
		if sent(of.Field(at)) {
			return true
		}
	}
	_, opaque, _ := showOpaque(reflect.New(of).Elem())
	return opaque
}
