package main

import (
	"encoding/json"
	"fmt"
	"math"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxMessage is what go-plugin's client allows in both directions.
const maxMessage = math.MaxInt32

// bytesCodec passes messages through as they are. Its name is empty so that the content-type stays
// `application/grpc`, as in the host's own calls.
type bytesCodec struct{}

var _ encoding.CodecV2 = bytesCodec{}

func (bytesCodec) Name() string { return "" }

func (bytesCodec) Marshal(value any) (mem.BufferSlice, error) {
	data, ok := value.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", value)
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, value any) error {
	target, ok := value.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is not a pointer to bytes", value)
	}
	*target = data.Materialize()
	return nil
}

// protoJSON uses the .proto files' own field names; bytes are base64, 64-bit numbers are strings.
func protoJSON(message proto.Message) json.RawMessage {
	encoded, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		encoded, _ = json.Marshal(err.Error())
	}
	return encoded
}
