package main

import (
	"bytes"
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"mm_asgi/gohost/pb"
)

// keyValue is a plugin's key. On the wire nothing tells an empty value from none: setting it removes
// the key, and an empty old value stands for a key that is not there.
type keyValue struct {
	value    []byte
	expireAt time.Time // zero: never
}

// value gives a key's value, nil when it is not there; the lock is held.
func (s *apiState) value(key string) []byte {
	found := s.keys[key]
	if !found.expireAt.IsZero() && !time.Now().Before(found.expireAt) {
		return nil
	}
	return found.value
}

// setKey sets it, if it has the old value or `old` is nil; the store's rules are plugin_store.go's.
func (s *apiState) setKey(key string, value []byte, old *[]byte, seconds int64) (bool, error) {
	if length := utf8.RuneCountInString(key); length == 0 || length > 150 {
		failed := fail("PluginKeyValue.IsValid", "model.plugin_key_value.is_valid.key.app_error", 400)
		failed.detail = "key=" + key
		return false, failed
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if old != nil && !bytes.Equal(s.value(key), *old) {
		return false, nil
	}
	if len(value) == 0 {
		there := s.value(key) != nil
		delete(s.keys, key)
		return there || old == nil, nil
	}
	set := keyValue{value: value}
	if seconds > 0 {
		set.expireAt = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	s.keys[key] = set
	return true, nil
}

func (h apiHandlers) KVSet(_ context.Context, r *pb.KVSetRequest) (*pb.KVSetResponse, error) {
	_, err := h.setKey(r.GetKey(), r.GetValue(), nil, 0)
	return &pb.KVSetResponse{}, err
}

func (h apiHandlers) KVSetWithOptions(_ context.Context, r *pb.KVSetWithOptionsRequest) (*pb.KVSetWithOptionsResponse, error) {
	options := r.GetOptions()
	var old *[]byte
	if options.GetAtomic() {
		given := options.GetOldValue()
		old = &given
	} else if len(options.GetOldValue()) > 0 {
		return nil, fail("PluginKVSetOptions.IsValid", "model.plugin_kvset_options.is_valid.old_value.app_error", 400)
	}
	success, err := h.setKey(r.GetKey(), r.GetValue(), old, options.GetExpireInSeconds())
	return &pb.KVSetWithOptionsResponse{Success: success}, err
}

func (h apiHandlers) KVCompareAndSet(_ context.Context, r *pb.KVCompareAndSetRequest) (*pb.KVCompareAndSetResponse, error) {
	old := r.GetOldValue()
	success, err := h.setKey(r.GetKey(), r.GetNewValue(), &old, 0)
	return &pb.KVCompareAndSetResponse{Success: success}, err
}

func (h apiHandlers) KVCompareAndDelete(_ context.Context, r *pb.KVCompareAndDeleteRequest) (*pb.KVCompareAndDeleteResponse, error) {
	old := r.GetOldValue()
	success, err := h.setKey(r.GetKey(), nil, &old, 0)
	return &pb.KVCompareAndDeleteResponse{Success: success}, err
}

func (h apiHandlers) KVGet(_ context.Context, r *pb.KVGetRequest) (*pb.KVGetResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	return &pb.KVGetResponse{Value: h.value(r.GetKey())}, nil
}

func (h apiHandlers) KVDelete(_ context.Context, r *pb.KVDeleteRequest) (*pb.KVDeleteResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	delete(h.keys, r.GetKey())
	return &pb.KVDeleteResponse{}, nil
}

func (h apiHandlers) KVList(_ context.Context, r *pb.KVListRequest) (*pb.KVListResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	var keys []string
	for key := range h.keys {
		if h.value(key) != nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	size := int(r.GetPerPage())
	if size <= 0 {
		size = 10 // defaultPluginKeyFetchLimit
	}
	from := min(max(0, int(r.GetPage())*size), len(keys))
	return &pb.KVListResponse{Keys: keys[from:min(from+size, len(keys))]}, nil
}
