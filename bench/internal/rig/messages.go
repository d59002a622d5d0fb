package rig

import (
	"encoding/binary"
	"io"

	"golang.org/x/net/http2"
)

// messages is written one direction of an HTTP/2 connection and finds the
// largest gRPC message in it.
type messages struct {
	pipe    *io.PipeWriter
	largest chan int
}

func newMessages() *messages {
	r, w := io.Pipe()
	m := &messages{w, make(chan int, 1)}
	go func() {
		m.largest <- largestMessage(r)
		_, _ = io.Copy(io.Discard, r) // what is no HTTP/2 still passes
	}()
	return m
}

func (m *messages) Write(p []byte) (int, error) { return m.pipe.Write(p) }

// Close returns the size of the largest message.
func (m *messages) Close() int {
	_ = m.pipe.Close()
	return <-m.largest
}

// largestMessage reads frames until they end or make no sense.
func largestMessage(r io.Reader) int {
	br := &preface{r: r}
	framer := http2.NewFramer(io.Discard, br)
	framer.SetMaxReadFrameSize(1<<24 - 1)
	streams := map[uint32]*message{}
	largest := 0
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return largest
		}
		data, ok := frame.(*http2.DataFrame)
		if !ok {
			if _, reset := frame.(*http2.RSTStreamFrame); reset {
				delete(streams, frame.Header().StreamID)
			}
			continue
		}
		id := data.StreamID
		if streams[id] == nil {
			streams[id] = &message{}
		}
		largest = max(largest, streams[id].read(data.Data()))
		if data.StreamEnded() {
			delete(streams, id)
		}
	}
}

// preface leaves out what a client says before its first frame.
type preface struct {
	r    io.Reader
	past bool
	rest []byte
}

func (p *preface) Read(b []byte) (int, error) {
	if !p.past {
		p.past = true
		head := make([]byte, len(http2.ClientPreface))
		n, err := io.ReadFull(p.r, head)
		if err != nil && n == 0 {
			return 0, err
		}
		if p.rest = head[:n]; string(p.rest) == http2.ClientPreface {
			p.rest = nil
		}
	}
	if len(p.rest) > 0 {
		n := copy(b, p.rest)
		p.rest = p.rest[n:]
		return n, nil
	}
	return p.r.Read(b)
}

// A message is where one stream stands: in a head of five bytes, or in the body
// that it announced.
type message struct {
	head []byte
	left int
}

// read returns the size of the largest message that begins in data.
func (m *message) read(data []byte) (largest int) {
	for len(data) > 0 {
		if m.left > 0 {
			n := min(m.left, len(data))
			m.left, data = m.left-n, data[n:]
			continue
		}
		n := min(5-len(m.head), len(data))
		m.head, data = append(m.head, data[:n]...), data[n:]
		if len(m.head) == 5 {
			m.left = int(binary.BigEndian.Uint32(m.head[1:]))
			largest, m.head = max(largest, m.left), m.head[:0]
		}
	}
	return largest
}
