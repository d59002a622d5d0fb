package index

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxBlob bounds a detail or a listing, unpacked: a million files are less.
const maxBlob = 256 << 20

// A codec packs blobs with zstd. It is made when first used.
type codec struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
	err  error
}

func (c *codec) init() error {
	c.once.Do(func() {
		var err error
		c.enc, c.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		c.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlob))
		c.err = errors.Join(c.err, err)
	})
	return c.err
}

// pack is the same for the same data.
func (c *codec) pack(data []byte) ([]byte, error) {
	if err := c.init(); err != nil {
		return nil, err
	}
	return c.enc.EncodeAll(data, nil), nil
}

// unpack undoes pack; what does not have the digest want is an error.
func (c *codec) unpack(packed []byte, want string) ([]byte, error) {
	if err := c.init(); err != nil {
		return nil, err
	}
	data, err := c.dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, err
	}
	if want != "" && DigestOf(data) != want {
		return nil, fmt.Errorf("its content is that of %s", DigestOf(data))
	}
	return data, nil
}
