package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func asked(t *testing.T, of string, values string) answer {
	t.Helper()
	return answerTo([]byte(`{"type": "` + of + `", "values": ` + values + `}`))
}

// What is shown can be made again, and is the same after a way through gob.
func TestValuesSurvive(t *testing.T) {
	for of, values := range map[string]string{
		"bool": `[true,false]`, "int64": `[-9223372036854775808,9223372036854775807]`, "uint64": `[18446744073709551615]`,
		"float64": `[1.5,"NaN","+Inf","-Inf"]`, "complex128": `[[1.5,"-Inf"]]`, "string": `["","ü",{"$hex":"ff"}]`,
		"[]byte": `[{"$hex":"00ff"}]`, "[2]int": `[[1,2]]`, "[]string": `[["a","b"]]`,
		"map[string][]int": `[[["a",[1]],["b",[2,3]]]]`, "any": `[{"$type":"[]interface {}","value":[{"$type":"int","value":3},null]}]`,
		"Tree":            `[{"ByName":[["a",{"Name":"x"}]],"Leaves":[{"Name":"y"},{}],"Name":"root"}]`,
		"struct{ A int }": `[{"A":1},{}]`,
		"Shape":           `[{"Any":{"$type":"*model.AppError","value":{"Id":"e"}},"Deep":7,"Inner":{"X":1},"Octets":{"$hex":"010203"},"Pointer":"p"}]`,
		"model.Post":      `[{"Id":"a","Props":[["k",{"$type":"map[string]interface {}","value":[]}]]}]`,
	} {
		made := asked(t, of, values)
		if made.Error != "" {
			t.Errorf("%s: %s", of, made.Error)
			continue
		}
		shown, err := json.Marshal(made.Values)
		if err != nil || string(shown) != values {
			t.Errorf("%s: made %s of %s (%v)", of, shown, values, err)
		}
		echoed := answerTo([]byte(`{"type": "` + of + `", "gob": "` + made.Gob + `"}`))
		if again, _ := json.Marshal(echoed.Values); string(again) != values || echoed.Error != "" {
			t.Errorf("%s: gob made %s of %s (%s)", of, again, values, echoed.Error)
		}
	}
}

func TestFaultsAreAnswers(t *testing.T) {
	for _, one := range []struct{ line, say string }{
		{`{"type": "nope", "gob": "00"}`, "not among those"},
		{`{"type": "int", "gob": "xx"}`, "invalid byte"},
		{`{"type": "int", "gob": "03060003"}`, "gob"},
		{`{"type": "int", "values": ["a"]}`, "invalid syntax"},
		{`{"type": "int8", "values": [300]}`, "out of range"},
		{`{"type": "model.Post", "values": [{"Nope": 1}]}`, "no field Nope"},
		{`{"type": "chan int", "values": [1]}`, "not known"},
		{`not json`, "invalid character"},
	} {
		if reply := answerTo([]byte(one.line)); !strings.Contains(reply.Error, one.say) {
			t.Errorf("%s: %q", one.line, reply.Error)
		}
	}
}

func TestEachLineHasAnAnswer(t *testing.T) {
	var out bytes.Buffer
	in := strings.NewReader("{\"type\": \"int\", \"values\": [1]}\nnonsense\n{\"type\": \"int\", \"values\": [2]}\n")
	if err := serve(in, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "error") {
		t.Errorf("%q", lines)
	}
}

func TestExpressions(t *testing.T) {
	of, err := typeOf("map[string]*[]struct{ A, B [4]*model.Post; C interface{} }")
	if err != nil {
		t.Fatal(err)
	}
	if of.Elem().Elem().Elem().Field(1).Type.Elem() != reflect.PointerTo(named["model.Post"]) {
		t.Error(of)
	}
}
