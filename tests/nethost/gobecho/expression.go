package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"reflect"
	"strconv"
)

// Tree is a type that holds itself; Shape has every kind of field that gob knows.
type Tree struct {
	Name   string
	Leaves []*Tree
	ByName map[string]*Tree
}

// Inner is embedded in Shape, which gob sends as a field of this name.
type Inner struct{ X, Y int }

// Shape has every kind of field.
type Shape struct {
	Inner
	Flag    bool
	Signed  int8
	Long    int64
	Octet   uint8
	Big     uint64
	Half    float32
	Double  float64
	Plane   complex128
	Text    string
	Bytes   []byte
	Square  [2]int
	Octets  [3]byte
	Words   []string
	Nested  [][]int
	Counts  map[string]int
	Tables  map[int]map[string][]byte
	Any     any
	Anys    []any
	Free    map[string]any
	Pointer *string
	Deep    ***int
	Fault   error
	Self    *Shape
	hidden  int
	Call    func()
	Pipe    chan int
}

var own = map[string]reflect.Type{
	"Tree": reflect.TypeFor[Tree](), "Inner": reflect.TypeFor[Inner](), "Shape": reflect.TypeFor[Shape](),
	"any": reflect.TypeFor[any](), "error": reflect.TypeFor[error](), "byte": reflect.TypeFor[byte](),
	"bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](), "uintptr": reflect.TypeFor[uintptr](),
	"int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](),
	"int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](),
	"uint": reflect.TypeFor[uint](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](),
	"uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](),
	"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
	"complex64": reflect.TypeFor[complex64](), "complex128": reflect.TypeFor[complex128](),
}

// typeOf reads a Go type expression.
func typeOf(text string) (reflect.Type, error) {
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", text, err)
	}
	return typeFrom(tree)
}

func typeFrom(tree ast.Expr) (reflect.Type, error) {
	switch tree := tree.(type) {
	case *ast.Ident:
		return find(tree.Name)
	case *ast.SelectorExpr:
		if home, ok := tree.X.(*ast.Ident); ok {
			return find(home.Name + "." + tree.Sel.Name)
		}
	case *ast.StarExpr:
		return wrapped(tree.X, reflect.PointerTo)
	case *ast.ArrayType:
		if tree.Len == nil {
			return wrapped(tree.Elt, reflect.SliceOf)
		}
		if size, ok := tree.Len.(*ast.BasicLit); ok {
			length, err := strconv.Atoi(size.Value)
			if err != nil {
				return nil, err
			}
			return wrapped(tree.Elt, func(of reflect.Type) reflect.Type { return reflect.ArrayOf(length, of) })
		}
	case *ast.MapType:
		key, err := typeFrom(tree.Key)
		if err != nil {
			return nil, err
		}
		return wrapped(tree.Value, func(of reflect.Type) reflect.Type { return reflect.MapOf(key, of) })
	case *ast.InterfaceType:
		return own["any"], nil
	case *ast.StructType:
		return structFrom(tree)
	}
	return nil, fmt.Errorf("a type expression with %T is not known", tree)
}

func find(name string) (reflect.Type, error) {
	if found, ok := own[name]; ok {
		return found, nil
	}
	if found, ok := named[name]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("type %s is not among those of proto/netrpc/types.tsv", name)
}

func wrapped(tree ast.Expr, wrap func(reflect.Type) reflect.Type) (reflect.Type, error) {
	of, err := typeFrom(tree)
	if err != nil {
		return nil, err
	}
	return wrap(of), nil
}

func structFrom(tree *ast.StructType) (reflect.Type, error) {
	var fields []reflect.StructField
	for _, field := range tree.Fields.List {
		of, err := typeFrom(field.Type)
		if err != nil {
			return nil, err
		}
		for _, name := range field.Names {
			fields = append(fields, reflect.StructField{Name: name.Name, Type: of})
		}
	}
	return reflect.StructOf(fields), nil
}
