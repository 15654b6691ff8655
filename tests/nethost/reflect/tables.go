package main

import (
	"bytes"
	"fmt"
	"go/types"
	"reflect"
	"sort"
	"strings"
)

// table is one .tsv file: a line of titles, then rows.
type table struct {
	titles []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) text() []byte {
	var text bytes.Buffer
	for _, row := range append([][]string{t.titles}, t.rows...) {
		text.WriteString(strings.Join(row, "\t") + "\n")
	}
	return text.Bytes()
}

// receivers are the four objects that net/rpc serves, with the interface behind each.
var receivers = []struct{ file, receiver, face string }{
	{"hooks.tsv", "hooksRPCServer", "Hooks"},
	{"api.tsv", "apiRPCServer", "API"},
	{"driver.tsv", "dbRPCServer", "Driver"},
	{"response_writer.tsv", "httpResponseWriterRPCServer", ""},
}

func (s *source) tables() (map[string]*table, error) {
	files := map[string]*table{}
	faces := map[string]face{}
	for _, name := range []string{"Hooks", "API", "Driver"} {
		found, err := s.face(name)
		if err != nil {
			return nil, err
		}
		faces[name] = found
	}
	for _, one := range receivers {
		methods, err := s.methods(one.receiver)
		if err != nil {
			return nil, err
		}
		files[one.file] = methodTable(methods, faces[one.face])
	}
	files["params.tsv"] = &table{titles: []string{"interface", "method", "params", "results"}}
	files["min_version.tsv"] = &table{titles: []string{"interface", "name", "minimum server version (as its own doc comment says)"}}
	for _, name := range []string{"Hooks", "API", "Driver"} {
		for _, method := range faces[name].methods {
			files["params.tsv"].add(name, method.name, method.parameters, method.results)
			if version := method.version(); version != "" {
				files["min_version.tsv"].add(name, method.name, version)
			}
		}
	}
	registered, err := s.registered()
	if err != nil {
		return nil, err
	}
	files["registered.tsv"] = registeredTable(registered)
	reached, err := s.reached()
	if err != nil {
		return nil, err
	}
	files["types.tsv"] = typeTable(reached)
	return files, nil
}

func methodTable(methods []served, of face) *table {
	t := &table{titles: []string{"name", "net/rpc method", "args type", "args fields", "returns type", "returns fields", "Go signature"}}
	signatures := map[string]string{}
	for _, method := range of.methods {
		signatures[method.name] = spellSignature(method.signature)
	}
	for _, method := range methods {
		t.add(method.name, "Plugin."+method.name, spell(method.arguments), fieldList(method.arguments),
			spell(method.reply), fieldList(method.reply), signatures[method.name])
	}
	return t
}

// fieldList is "A string; B *model.Post" for a struct, and the type itself for anything else.
func fieldList(t types.Type) string {
	structure, ok := base(t).Underlying().(*types.Struct)
	if !ok || opaque(t) != "" {
		return spell(t)
	}
	var all []string
	for field := range structure.Fields() {
		all = append(all, field.Name()+" "+spell(field.Type()))
	}
	return strings.Join(all, "; ")
}

// reached are all struct types behind the four receivers and the registered names.
func (s *source) reached() (map[string]types.Type, error) {
	into := map[string]types.Type{}
	for _, one := range receivers {
		methods, err := s.methods(one.receiver)
		if err != nil {
			return nil, err
		}
		for _, method := range methods {
			structs(method.arguments, into)
			structs(method.reply, into)
		}
	}
	registered, err := s.registered()
	if err != nil {
		return nil, err
	}
	for _, one := range registered {
		structs(one.of, into)
	}
	return into, nil
}

func typeTable(reached map[string]types.Type) *table {
	t := &table{titles: []string{"type", "package", "own codec of the type", "field", "gob-visible", "Go type", "kind", "pointer", "json", "own codec of the field's type", "gob shape"}}
	names := make([]string, 0, len(reached))
	for name := range reached {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		addType(t, name, reached[name])
	}
	return t
}

func addType(t *table, name string, of types.Type) {
	structure := of.Underlying().(*types.Struct)
	packagePath := ""
	if named, ok := types.Unalias(of).(*types.Named); ok {
		packagePath = named.Obj().Pkg().Path()
	}
	codec := strings.Join(ownCodec(of), ",")
	if structure.NumFields() == 0 {
		t.add(name, packagePath, codec, "-", "-", "", "", "", "", "", "")
	}
	for at := range structure.NumFields() {
		field := structure.Field(at)
		visible, pointer, travels := "", "", ""
		if sent(field) && opaque(of) == "" {
			visible, travels = field.Name(), shape(field.Type())
		}
		if _, ok := types.Unalias(field.Type()).(*types.Pointer); ok {
			pointer = "*"
		}
		json := reflect.StructTag(structure.Tag(at)).Get("json")
		t.add(name, packagePath, codec, field.Name(), visible, spell(field.Type()), kind(field.Type()),
			pointer, json, strings.Join(ownCodec(field.Type()), ","), travels)
	}
}

func registeredTable(all []registration) *table {
	t := &table{titles: []string{"registered name", "Go type", "package", "kind", "gob shape"}}
	for _, one := range all {
		packagePath := ""
		if named, ok := types.Unalias(base(one.of)).(*types.Named); ok {
			packagePath = named.Obj().Pkg().Path()
		}
		t.add(one.name, spell(one.of), packagePath, kind(one.of), shape(one.of))
	}
	return t
}

// echoFile is the Go source that gives gobecho one nil pointer of each type of the tables that
// another package may name, and its registrations.
func (s *source) echoFile() ([]byte, error) {
	reached, err := s.reached()
	if err != nil {
		return nil, err
	}
	imports := map[string]string{}
	var lines []string
	for name, of := range reached {
		named, ok := types.Unalias(of).(*types.Named)
		if !ok || !named.Obj().Exported() || named.TypeArgs().Len() > 0 {
			continue
		}
		packagePath := named.Obj().Pkg().Path()
		imports[packagePath] = named.Obj().Pkg().Name()
		lines = append(lines, fmt.Sprintf("\t%q: reflect.TypeFor[%s](),\n", name, name))
	}
	sort.Strings(lines)
	return echoText(imports, lines)
}
