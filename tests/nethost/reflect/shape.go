package main

import (
	"fmt"
	"go/types"
	"strings"
)

// What encoding/gob makes of a type. It looks through pointers and names: a field travels when it
// is exported and is neither a channel nor a function; a type with a codec of its own travels as
// bytes. net.IP is plain bytes, because gob does not ask for MarshalText.

var codecs = []string{"GobEncode", "GobDecode", "MarshalBinary", "MarshalText"}

// ownCodec lists the codec methods of a type or of a pointer to it.
func ownCodec(t types.Type) []string {
	named, ok := types.Unalias(base(t)).(*types.Named)
	if !ok || types.IsInterface(named) {
		return nil
	}
	set := types.NewMethodSet(types.NewPointer(named))
	var found []string
	for _, name := range codecs {
		if set.Lookup(nil, name) != nil {
			found = append(found, name)
		}
	}
	return found
}

func base(t types.Type) types.Type {
	for {
		pointer, ok := types.Unalias(t).(*types.Pointer)
		if !ok {
			return t
		}
		t = pointer.Elem()
	}
}

// opaque gives the field of gob's wireType that a type with its own codec has, "" for all others.
func opaque(t types.Type) string {
	methods := strings.Join(ownCodec(t), ",")
	switch {
	case strings.Contains(methods, "GobEncode"):
		return "GobEncoder"
	case strings.Contains(methods, "MarshalBinary"):
		return "BinaryMarshaler"
	}
	return ""
}

// shape is the type that gob sees: bool, int, uint, float, complex, bytes, string, interface,
// []T, [N]T, map[K]T, GobEncoder(NAME), BinaryMarshaler(NAME), or the name of a struct.
func shape(t types.Type) string {
	t = base(t)
	if codec := opaque(t); codec != "" {
		return codec + "(" + spell(t) + ")"
	}
	switch under := t.Underlying().(type) {
	case *types.Basic:
		return basicShape(under)
	case *types.Interface:
		return "interface"
	case *types.Slice:
		if element, ok := under.Elem().Underlying().(*types.Basic); ok && element.Kind() == types.Uint8 {
			return "bytes"
		}
		return "[]" + shape(under.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", under.Len(), shape(under.Elem()))
	case *types.Map:
		return "map[" + shape(under.Key()) + "]" + shape(under.Elem())
	case *types.Struct:
		return spell(t)
	}
	return ""
}

func basicShape(t *types.Basic) string {
	info := t.Info()
	switch {
	case info&types.IsBoolean != 0:
		return "bool"
	case info&types.IsUnsigned != 0:
		return "uint"
	case info&types.IsInteger != 0:
		return "int"
	case info&types.IsFloat != 0:
		return "float"
	case info&types.IsComplex != 0:
		return "complex"
	}
	return "string"
}

// sent says whether gob transmits a field.
func sent(field *types.Var) bool {
	if !field.Exported() {
		return false
	}
	switch base(field.Type()).Underlying().(type) {
	case *types.Chan, *types.Signature:
		return false
	}
	return true
}

// kind is reflect.Kind of a type behind its pointers.
func kind(t types.Type) string {
	switch under := base(t).Underlying().(type) {
	case *types.Basic:
		return types.Typ[under.Kind()].Name()
	case *types.Interface:
		return "interface"
	case *types.Slice:
		return "slice"
	case *types.Array:
		return "array"
	case *types.Map:
		return "map"
	case *types.Struct:
		return "struct"
	case *types.Chan:
		return "chan"
	case *types.Signature:
		return "func"
	}
	return ""
}

// structs gathers the struct types that are reachable from t through everything that gob sends.
// A type with its own codec is listed and not entered: its fields do not travel.
func structs(t types.Type, into map[string]types.Type) {
	t = base(t)
	if named, ok := types.Unalias(t).(*types.Named); ok {
		name := spell(named)
		if _, known := into[name]; known {
			return
		}
		if _, ok := named.Underlying().(*types.Struct); ok {
			into[name] = named
		}
		if opaque(named) != "" {
			return
		}
	}
	switch under := t.Underlying().(type) {
	case *types.Slice:
		structs(under.Elem(), into)
	case *types.Array:
		structs(under.Elem(), into)
	case *types.Map:
		structs(under.Key(), into)
		structs(under.Elem(), into)
	case *types.Struct:
		for field := range under.Fields() {
			if sent(field) {
				structs(field.Type(), into)
			}
		}
	}
}
