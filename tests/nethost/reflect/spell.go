package main

import (
	"fmt"
	"go/types"
	"strings"
)

// spell writes a type as reflect.Type.String does: the package's name before the type's, `uint8`
// for byte, `interface {}` for any; arguments of a generic type with their package's whole path.
func spell(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		return spellNamed(t)
	case *types.Pointer:
		return "*" + spell(t.Elem())
	case *types.Slice:
		return "[]" + spell(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), spell(t.Elem()))
	case *types.Map:
		return "map[" + spell(t.Key()) + "]" + spell(t.Elem())
	case *types.Chan:
		return map[types.ChanDir]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + spell(t.Elem())
	case *types.Basic:
		// byte and rune are other names of uint8 and int32.
		return types.Typ[t.Kind()].Name()
	case *types.Interface:
		if t.NumMethods() == 0 {
			return "interface {}"
		}
	case *types.Struct:
		if t.NumFields() == 0 {
			return "struct {}"
		}
	case *types.Signature:
		return "func" + spellSignature(t)
	}
	return types.TypeString(t, (*types.Package).Name)
}

func spellNamed(t *types.Named) string {
	object := t.Obj()
	name := object.Name()
	if object.Pkg() != nil {
		name = object.Pkg().Name() + "." + name
	}
	if arguments := t.TypeArgs(); arguments.Len() > 0 {
		var all []string
		for at := range arguments.Len() {
			all = append(all, types.TypeString(arguments.At(at), (*types.Package).Path))
		}
		name += "[" + strings.Join(all, ",") + "]"
	}
	return name
}

func spellSignature(t *types.Signature) string {
	var parameters, results []string
	for at := range t.Params().Len() {
		one := spell(t.Params().At(at).Type())
		if t.Variadic() && at == t.Params().Len()-1 {
			one = "..." + strings.TrimPrefix(one, "[]")
		}
		parameters = append(parameters, one)
	}
	for at := range t.Results().Len() {
		results = append(results, spell(t.Results().At(at).Type()))
	}
	text := "(" + strings.Join(parameters, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	}
	return text + " (" + strings.Join(results, ", ") + ")"
}
