package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const sample = `package sample

import (
	"encoding/gob"
	"net"
	"net/url"
	"time"
)

type word string
type bag map[word]*[]byte
type Node struct {
	Name    word
	Next    *Node
	At      time.Time
	URL     *url.URL
	IP      net.IP
	Bag     bag
	Bits    [4]uint8
	Any     any
	Call    func()
	Pipe    **chan int
	hidden  int
}

type Server struct{}

func (Server) Good(a *Node, b *Node) error           { return nil }
func (*Server) Plain(a struct{}, b *[]byte) error    { return nil }
func (*Server) NoPointer(a int, b int) error         { return nil }
func (*Server) NoError(a int, b *int)                {}
func (*Server) Hidden(a word, b *int) error          { return nil }
func (*Server) unexported(a int, b *int) error       { return nil }

type Face interface {
	// One is a method.
	//
	// Minimum server version: 10.7
	One(a, b string, rest ...any) (found *Node, err error)
	Two()
}

func init() {
	gob.Register(&Node{})
	gob.Register(Node{})
	gob.RegisterName("a name", []*Node{})
}
`

func checked(t *testing.T) *source {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "sample.go", sample, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	made, err := config.Check("example.com/sample", set, []*ast.File{file}, info)
	if err != nil {
		t.Fatal(err)
	}
	one := &packages.Package{PkgPath: made.Path(), Types: made, TypesInfo: info, Fset: set, Syntax: []*ast.File{file}}
	return &source{plugin: one, all: map[string]*packages.Package{made.Path(): one}}
}

func TestShapesOfFields(t *testing.T) {
	node, err := checked(t).named("Node")
	if err != nil {
		t.Fatal(err)
	}
	rows := &table{}
	addType(rows, "sample.Node", node)
	var found []string
	for _, row := range rows.rows {
		found = append(found, row[3]+":"+row[10])
	}
	wanted := "Name:string Next:sample.Node At:GobEncoder(time.Time) URL:BinaryMarshaler(url.URL) IP:bytes " +
		"Bag:map[string]bytes Bits:[4]uint Any:interface Call: Pipe: hidden:"
	if text := strings.Join(found, " "); text != wanted {
		t.Errorf("found  %s\nwanted %s", text, wanted)
	}
}

func TestNetRPCServesSuitableMethodsOnly(t *testing.T) {
	methods, err := checked(t).methods("Server")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, method := range methods {
		found = append(found, method.name+" "+spell(method.arguments)+" "+spell(method.reply))
	}
	if text := strings.Join(found, "; "); text != "Good *sample.Node sample.Node; Plain struct {} []uint8" {
		t.Error(text)
	}
}

func TestAnInterfaceIsReadWithItsComments(t *testing.T) {
	face, err := checked(t).face("Face")
	if err != nil {
		t.Fatal(err)
	}
	one, two := face.methods[0], face.methods[1]
	if one.parameters != "a string; b string; rest ...any" || one.results != "found *Node; err error" || one.version() != "10.7" {
		t.Errorf("%+v", one)
	}
	if spellSignature(one.signature) != "(string, string, ...interface {}) (*sample.Node, error)" {
		t.Error(spellSignature(one.signature))
	}
	if two.version() != "" {
		t.Errorf("%+v", two)
	}
}

func TestRegistrationsAreFound(t *testing.T) {
	all, err := checked(t).registered()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, one := range all {
		found[one.name] = spell(one.of)
	}
	for name, of := range map[string]string{
		"*sample.Node": "*sample.Node", "example.com/sample.Node": "sample.Node", "a name": "[]*sample.Node",
		"int": "int", "[]string": "[]string", "uint8": "uint8",
	} {
		if found[name] != of {
			t.Errorf("%s: %q instead of %q", name, found[name], of)
		}
	}
}
