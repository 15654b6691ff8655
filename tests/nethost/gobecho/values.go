package main

import (
	"encoding"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"unicode/utf8"
)

// How a value looks in JSON. JSON methods of the types are left aside, as gob leaves them aside:
//
//	bool, integers     true, 42
//	floats             1.5, or "NaN", "+Inf", "-Inf"; a complex number is [1.5, 2]
//	string             "text", or {"$hex": ..} where it is not UTF-8
//	[]byte             {"$hex": ..}
//	slice, array       [..]
//	map                [[key, value], ..]
//	struct             {"Field": ..}, fields that gob sends and that are not zero
//	pointer            what it points to, or null
//	interface          {"$type": TYPE EXPRESSION, "value": ..}, or null
//	own codec          {"$opaque": HEX of what the codec makes}

type object = map[string]any

// show turns a value into its JSON form.
func show(value reflect.Value) (any, error) {
	if marked, ok, err := showOpaque(value); ok || err != nil {
		return marked, err
	}
	switch value.Kind() {
	case reflect.Bool:
		return value.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return value.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return value.Uint(), nil
	case reflect.Float32, reflect.Float64:
		return showFloat(value.Float()), nil
	case reflect.Complex64, reflect.Complex128:
		return []any{showFloat(real(value.Complex())), showFloat(imag(value.Complex()))}, nil
	case reflect.String:
		if utf8.ValidString(value.String()) {
			return value.String(), nil
		}
		return object{"$hex": hex.EncodeToString([]byte(value.String()))}, nil
	}
	return showCompound(value)
}

func showCompound(value reflect.Value) (any, error) {
	switch value.Kind() {
	case reflect.Slice, reflect.Array:
		return showList(value)
	case reflect.Map:
		return showMap(value)
	case reflect.Struct:
		return showStruct(value)
	case reflect.Pointer:
		if value.IsNil() {
			return nil, nil
		}
		return show(value.Elem())
	case reflect.Interface:
		if value.IsNil() {
			return nil, nil
		}
		inner, err := show(value.Elem())
		return object{"$type": value.Elem().Type().String(), "value": inner}, err
	}
	return nil, fmt.Errorf("gob sends no %s", value.Type())
}

func showFloat(value float64) any {
	switch {
	case math.IsNaN(value):
		return "NaN"
	case math.IsInf(value, 0):
		return fmt.Sprint(value)
	}
	return value
}

func showOpaque(value reflect.Value) (any, bool, error) {
	if value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		return nil, false, nil
	}
	pointer := reflect.New(value.Type())
	pointer.Elem().Set(value)
	var bytes []byte
	var err error
	switch codec := pointer.Interface().(type) {
	case gob.GobEncoder:
		bytes, err = codec.GobEncode()
	case encoding.BinaryMarshaler:
		bytes, err = codec.MarshalBinary()
	default:
		return nil, false, nil
	}
	return object{"$opaque": hex.EncodeToString(bytes)}, true, err
}

func showList(value reflect.Value) (any, error) {
	if value.Type().Elem().Kind() == reflect.Uint8 {
		bytes := make([]byte, value.Len())
		reflect.Copy(reflect.ValueOf(bytes), value)
		return object{"$hex": hex.EncodeToString(bytes)}, nil
	}
	all := make([]any, 0, value.Len())
	for at := range value.Len() {
		one, err := show(value.Index(at))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func showMap(value reflect.Value) (any, error) {
	pairs := make([][2]any, 0, value.Len())
	for at := value.MapRange(); at.Next(); {
		key, err := show(at.Key())
		if err != nil {
			return nil, err
		}
		held, err := show(at.Value())
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]any{key, held})
	}
	sort.Slice(pairs, func(i, j int) bool { return fmt.Sprint(pairs[i][0]) < fmt.Sprint(pairs[j][0]) })
	return pairs, nil
}

func showStruct(value reflect.Value) (any, error) {
	shown := object{}
	for at := range value.NumField() {
		if !sent(value.Type().Field(at)) || value.Field(at).IsZero() {
			continue
		}
		one, err := show(value.Field(at))
		if err != nil {
			return nil, err
		}
		shown[value.Type().Field(at).Name] = one
	}
	return shown, nil
}

// sent is gob's own rule: exported, and neither a channel nor a function.
func sent(field reflect.StructField) bool {
	of := field.Type
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return field.IsExported() && of.Kind() != reflect.Chan && of.Kind() != reflect.Func
}

// fill sets a value from its JSON form. Numbers come as json.Number.
func fill(into reflect.Value, from any) error {
	if marked, ok := from.(object); ok && marked["$opaque"] != nil && into.Kind() != reflect.Pointer {
		return fillOpaque(into, marked["$opaque"])
	}
	switch into.Kind() {
	case reflect.Pointer:
		if from == nil {
			return nil
		}
		into.Set(reflect.New(into.Type().Elem()))
		return fill(into.Elem(), from)
	case reflect.Interface:
		return fillInterface(into, from)
	case reflect.Slice, reflect.Array, reflect.Map:
		return fillMany(into, from)
	case reflect.Struct:
		return fillStruct(into, from)
	case reflect.Complex64, reflect.Complex128:
		parts, ok := from.([]any)
		if !ok || len(parts) != 2 {
			return mismatch(into, from)
		}
		var numbers [2]float64
		for at := range parts {
			if err := fill(reflect.ValueOf(&numbers[at]).Elem(), parts[at]); err != nil {
				return err
			}
		}
		into.SetComplex(complex(numbers[0], numbers[1]))
		return nil
	}
	return fillPlain(into, from)
}

func mismatch(into reflect.Value, from any) error {
	return fmt.Errorf("%v (%T) is no value for %s", from, from, into.Type())
}

func fillPlain(into reflect.Value, from any) error {
	switch given := from.(type) {
	case bool:
		if into.Kind() == reflect.Bool {
			into.SetBool(given)
			return nil
		}
	case json.Number:
		return fillNumber(into, given.String())
	case string:
		if into.Kind() == reflect.String {
			into.SetString(given)
			return nil
		}
		return fillNumber(into, given) // NaN and its like
	case object:
		if into.Kind() == reflect.String {
			bytes, err := unhex(given["$hex"])
			into.SetString(string(bytes))
			return err
		}
	}
	return mismatch(into, from)
}

func fillNumber(into reflect.Value, text string) error {
	bits := into.Type().Bits
	switch {
	case into.CanInt():
		number, err := strconv.ParseInt(text, 10, bits())
		into.SetInt(number)
		return err
	case into.CanUint():
		number, err := strconv.ParseUint(text, 10, bits())
		into.SetUint(number)
		return err
	case into.CanFloat():
		number, err := strconv.ParseFloat(text, bits())
		into.SetFloat(number)
		return err
	}
	return mismatch(into, text)
}

func unhex(from any) ([]byte, error) {
	text, ok := from.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no hexadecimal text", from)
	}
	return hex.DecodeString(text)
}

func fillOpaque(into reflect.Value, from any) error {
	bytes, err := unhex(from)
	if err != nil {
		return err
	}
	switch codec := into.Addr().Interface().(type) {
	case gob.GobDecoder:
		return codec.GobDecode(bytes)
	case encoding.BinaryUnmarshaler:
		return codec.UnmarshalBinary(bytes)
	}
	return fmt.Errorf("%s has no codec of its own", into.Type())
}

func fillInterface(into reflect.Value, from any) error {
	if from == nil {
		return nil
	}
	marked, ok := from.(object)
	name, named := marked["$type"].(string)
	if !ok || !named {
		return mismatch(into, from)
	}
	of, err := typeOf(name)
	if err != nil {
		return err
	}
	held := reflect.New(of).Elem()
	if err := fill(held, marked["value"]); err != nil {
		return err
	}
	if !of.AssignableTo(into.Type()) {
		return mismatch(into, from)
	}
	into.Set(held)
	return nil
}

func fillMany(into reflect.Value, from any) error {
	if marked, ok := from.(object); ok && into.Kind() != reflect.Map && into.Type().Elem().Kind() == reflect.Uint8 {
		bytes, err := unhex(marked["$hex"])
		if err != nil {
			return err
		}
		if into.Kind() == reflect.Array {
			reflect.Copy(into, reflect.ValueOf(bytes))
			return nil
		}
		into.Set(reflect.ValueOf(bytes).Convert(into.Type()))
		return nil
	}
	if from == nil {
		return nil
	}
	all, ok := from.([]any)
	if !ok {
		return mismatch(into, from)
	}
	if into.Kind() == reflect.Map {
		return fillMap(into, all)
	}
	if into.Kind() == reflect.Slice {
		into.Set(reflect.MakeSlice(into.Type(), len(all), len(all)))
	}
	if into.Len() != len(all) {
		return mismatch(into, from)
	}
	for at, one := range all {
		if err := fill(into.Index(at), one); err != nil {
			return err
		}
	}
	return nil
}

func fillMap(into reflect.Value, pairs []any) error {
	into.Set(reflect.MakeMap(into.Type()))
	for _, one := range pairs {
		pair, ok := one.([]any)
		if !ok || len(pair) != 2 {
			return mismatch(into, one)
		}
		key := reflect.New(into.Type().Key()).Elem()
		held := reflect.New(into.Type().Elem()).Elem()
		if err := fill(key, pair[0]); err != nil {
			return err
		}
		if err := fill(held, pair[1]); err != nil {
			return err
		}
		into.SetMapIndex(key, held)
	}
	return nil
}

func fillStruct(into reflect.Value, from any) error {
	fields, ok := from.(object)
	if !ok {
		return mismatch(into, from)
	}
	for name, one := range fields {
		field := into.FieldByName(name)
		if !field.IsValid() || !field.CanSet() {
			return fmt.Errorf("%s has no field %s", into.Type(), name)
		}
		if err := fill(field, one); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
