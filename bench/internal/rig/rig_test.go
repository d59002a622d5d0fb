package rig

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func TestParseCPU(t *testing.T) {
	got, err := parseCPU([]byte("7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 9 0 100"))
	if err != nil || got != time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseCPU([]byte("7 (a) S 1")); err == nil {
		t.Error("a time from half a line")
	}
}

func TestCountSolves(t *testing.T) {
	const text = `# TYPE rpc_server_call_duration_seconds histogram
rpc_server_call_duration_seconds_bucket{rpc_method="moby.buildkit.v1.Control/Solve",le="0.1"} 2
rpc_server_call_duration_seconds_count{rpc_method="moby.buildkit.v1.Control/Solve",rpc_response_status_code="OK"} 3
rpc_server_call_duration_seconds_count{rpc_method="moby.buildkit.v1.Control/Solve",rpc_response_status_code="UNKNOWN"} 1
rpc_server_call_duration_seconds_count{rpc_method="moby.buildkit.v1.frontend.LLBBridge/Solve"} 9
`
	if got, err := countSolves(strings.NewReader(text)); err != nil || got != 4 {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestProcess(t *testing.T) {
	p, err := startProcess(filepath.Join(t.TempDir(), "log"), "sleep", "3600")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.cpu(); err != nil {
		t.Error(err)
	}
	p.stop()
	if err := p.await(t.Context(), "unix", filepath.Join(t.TempDir(), "none")); err == nil || !strings.HasPrefix(err.Error(), "sleep ended, see ") {
		t.Errorf("got %v", err)
	}
}

func TestRegistryCounts(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", "http://"+req.Host+"/there")
	}))
	defer behind.Close()
	to, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{served: make(chan error, 1)}
	if err := r.serve(to); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		resp, err := http.Get("http://" + r.Host + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Location"); got != "http://"+r.Host+"/there" {
			t.Errorf("redirected to %s", got)
		}
	}
	if a, b := r.Requests(), r.Requests(); a != 3 || b != 0 {
		t.Errorf("counted %d, then %d", a, b)
	}
	if err := r.server.Close(); err != nil {
		t.Error(err)
	}
	<-r.served
}

// TestRelay sends one gRPC message over HTTP/2 in frames that split it, through
// a relay to a server that returns what it reads.
func TestRelay(t *testing.T) {
	dir := t.TempDir()
	daemon, err := net.Listen("unix", filepath.Join(dir, "daemon"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = daemon.Close() }()
	go func() {
		for {
			conn, err := daemon.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	relay, err := NewRelay(filepath.Join(dir, "relay"), daemon.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var wire strings.Builder
	wire.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&wire, nil)
	text := "\x00\x00\x00\x03\xe8" + strings.Repeat("x", 1000) + "\x00\x00\x00\x00\x02ab"
	for _, part := range []string{text[:3], text[3:500], text[500:]} {
		if err := framer.WriteData(1, false, []byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	n := int64(wire.Len())
	for _, c := range []struct {
		measure bool
		want    Traffic
	}{
		{false, Traffic{1, n, n, 0}},
		{true, Traffic{1, n, n, 1000}},
	} {
		relay.Measure(c.measure)
		conn, err := net.Dial("unix", relay.Path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, wire.String()); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(conn); err != nil || string(back) != wire.String() {
			t.Errorf("%d bytes came back, %v", len(back), err)
		}
		_ = conn.Close()
		if got := relay.Traffic(); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
}
