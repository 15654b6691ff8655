package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"
)

// Inner is what All contains in many ways.
type Inner struct {
	Name  string
	Count int32
	Next  *Inner
}

// Note is registered by its name, as model.AppError is.
type Note struct {
	Id     string
	Status int
	Props  map[string]interface{}
}

// Empty has no fields.
type Empty struct{}

// All has a field of each kind that gob knows.
type All struct {
	Bool     bool
	Int      int
	Int8     int8
	Int64    int64
	Uint     uint
	Uint16   uint16
	Float32  float32
	Float64  float64
	Complex  complex128
	Text     string
	Bytes    []byte
	Texts    []string
	Numbers  []int64
	Flags    []bool
	Array    [3]uint8
	Pairs    [2]string
	Header   map[string][]string
	Counts   map[int32]bool
	ByStruct map[Key]string
	Nested   [][]float64
	Inner    Inner
	Pointer  *Inner
	Inners   []*Inner
	ByName   map[string]*Inner
	Maybe    *bool
	MaybeInt *int64
	Words    *string
	When     time.Time
	Where    *url.URL
	Any      interface{}
	Anys     []interface{}
	Props    map[string]interface{}
	Empty    Empty
	NoEmpty  *Empty
}

// Key is a struct as a map's key.
type Key struct{ A, B int }

func init() {
	gob.RegisterName("*main.Note", &Note{})
	gob.RegisterName("[]*main.Inner", []*Inner{})
	gob.Register([]interface{}{})
	gob.Register(map[string]interface{}{})
	gob.Register(Inner{})
}

var shapes = map[string]reflect.Type{
	"All":     reflect.TypeFor[All](),
	"Inner":   reflect.TypeFor[Inner](),
	"Note":    reflect.TypeFor[Note](),
	"Empty":   reflect.TypeFor[Empty](),
	"int":     reflect.TypeFor[int](),
	"string":  reflect.TypeFor[string](),
	"bytes":   reflect.TypeFor[[]byte](),
	"strings": reflect.TypeFor[[]string](),
	"header":  reflect.TypeFor[map[string][]string](),
	"time":    reflect.TypeFor[time.Time](),
}

// runGob reads lines "SHAPE SHAPE ... HEX": the shapes of the values in one stream. It decodes them
// and prints "ok HEX" with what Go's own encoder makes of them on one stream, or "error TEXT". After
// the word "tell" it prints "ok TEXT" with the pointers of the last value that are not nil.
func runGob([]string) error {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil
		}
		words := strings.Fields(line)
		raw, err := hex.DecodeString(words[len(words)-1])
		if err != nil {
			return err
		}
		tell := words[0] == "tell"
		if tell {
			words = words[1:]
		}
		again, last, err := echo(words[:len(words)-1], raw)
		switch {
		case err != nil:
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
		case tell:
			fmt.Println("ok", pointers(last))
		default:
			fmt.Println("ok", hex.EncodeToString(again))
		}
	}
}

func echo(names []string, raw []byte) (again []byte, last reflect.Value, err error) {
	var out bytes.Buffer
	decoder, encoder := gob.NewDecoder(bytes.NewReader(raw)), gob.NewEncoder(&out)
	for _, name := range names {
		shape, ok := shapes[name]
		if !ok {
			return nil, last, fmt.Errorf("no shape %s", name)
		}
		last = reflect.New(shape)
		if err := decoder.DecodeValue(last); err != nil {
			return nil, last, err
		}
		if err := encoder.EncodeValue(last); err != nil {
			return nil, last, err
		}
	}
	return out.Bytes(), last, nil
}

func pointers(value reflect.Value) string {
	text := ""
	for i := 0; i < value.Elem().NumField(); i++ {
		field := value.Elem().Field(i)
		if field.Kind() == reflect.Pointer && !field.IsNil() {
			text += fmt.Sprintf(" %s=%v", value.Elem().Type().Field(i).Name, field.Elem())
		}
	}
	return strings.TrimSpace(text)
}
