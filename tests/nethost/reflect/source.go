package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"sort"
	"strings"

	"golang.org/x/tools/go/packages"
)

const pluginPath = "github.com/mattermost/mattermost/server/public/plugin"

// source is the real plugin package after type checking.
type source struct {
	plugin *packages.Package
	// all holds every package that was loaded, by path.
	all map[string]*packages.Package
}

func load() (*source, error) {
	config := &packages.Config{Mode: packages.NeedName | packages.NeedSyntax | packages.NeedTypes |
		packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps | packages.NeedFiles}
	found, err := packages.Load(config, pluginPath)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || len(found[0].Errors) > 0 {
		return nil, fmt.Errorf("%s cannot be read: %v", pluginPath, found[0].Errors)
	}
	s := &source{plugin: found[0], all: map[string]*packages.Package{}}
	packages.Visit(found, nil, func(p *packages.Package) { s.all[p.PkgPath] = p })
	return s, nil
}

// named gives a type of the plugin package, exported or not.
func (s *source) named(name string) (*types.Named, error) {
	object := s.plugin.Types.Scope().Lookup(name)
	if object == nil {
		return nil, fmt.Errorf("%s has no type %s", pluginPath, name)
	}
	return object.Type().(*types.Named), nil
}

// served is one method that net/rpc offers.
type served struct {
	name      string
	arguments types.Type
	reply     types.Type // without the pointer that net/rpc asks for
}

// methods gives what net/rpc serves of a receiver, sorted: an exported method with two arguments
// of exported or builtin types, the second a pointer, and one result, an error.
func (s *source) methods(receiver string) ([]served, error) {
	named, err := s.named(receiver)
	if err != nil {
		return nil, err
	}
	var all []served
	set := types.NewMethodSet(types.NewPointer(named))
	for at := range set.Len() {
		method := set.At(at).Obj().(*types.Func)
		signature := method.Signature()
		parameters, results := signature.Params(), signature.Results()
		if !method.Exported() || parameters.Len() != 2 || results.Len() != 1 || spell(results.At(0).Type()) != "error" {
			continue
		}
		reply, ok := parameters.At(1).Type().(*types.Pointer)
		if !ok || !reachable(parameters.At(0).Type()) || !reachable(reply.Elem()) {
			continue
		}
		all = append(all, served{method.Name(), parameters.At(0).Type(), reply.Elem()})
	}
	if all == nil {
		return nil, errors.New(receiver + " serves nothing")
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// reachable is net/rpc's isExportedOrBuiltinType.
func reachable(t types.Type) bool {
	if pointer, ok := t.(*types.Pointer); ok {
		t = pointer.Elem()
	}
	named, ok := types.Unalias(t).(*types.Named)
	return !ok || named.Obj().Exported() || named.Obj().Pkg() == nil
}

// face is one interface of the package: its methods in the order of the source, with their comments.
type face struct {
	name    string
	methods []declared
}

type declared struct {
	name       string
	signature  *types.Signature
	parameters string // names and types, spelled as in the source
	results    string
	comment    string
}

func (s *source) face(name string) (face, error) {
	for _, file := range s.plugin.Syntax {
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.TYPE {
				continue
			}
			for _, spec := range general.Specs {
				if spec := spec.(*ast.TypeSpec); spec.Name.Name == name {
					return s.readFace(name, spec)
				}
			}
		}
	}
	return face{}, fmt.Errorf("%s has no interface %s", pluginPath, name)
}

func (s *source) readFace(name string, spec *ast.TypeSpec) (face, error) {
	read := face{name: name}
	shape, ok := spec.Type.(*ast.InterfaceType)
	if !ok {
		return read, fmt.Errorf("%s is not an interface", name)
	}
	for _, field := range shape.Methods.List {
		for _, ident := range field.Names {
			method := s.plugin.TypesInfo.Defs[ident].(*types.Func)
			shape := field.Type.(*ast.FuncType)
			read.methods = append(read.methods, declared{ident.Name, method.Signature(),
				spellFields(shape.Params), spellFields(shape.Results), field.Doc.Text()})
		}
	}
	return read, nil
}

var minimum = regexp.MustCompile(`Minimum server version:\s*v?(\d+(?:\.\d+)*)`)

// version is the minimum server version that a doc comment names, "" where it names none.
func (d declared) version() string {
	if found := minimum.FindStringSubmatch(d.comment); found != nil {
		return found[1]
	}
	return ""
}

func spellFields(list *ast.FieldList) string {
	if list == nil {
		return ""
	}
	var all []string
	for _, field := range list.List {
		spelled := types.ExprString(field.Type)
		if len(field.Names) == 0 {
			all = append(all, spelled)
		}
		for _, name := range field.Names {
			all = append(all, name.Name+" "+spelled)
		}
	}
	return strings.Join(all, "; ")
}
