package testkit

import (
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"time"
)

// After lets the first skip requests that match pass before f strikes: the
// nth request is hit by After(n-1, ...) with Times 1.
func After(skip int, f Fault) Fault {
	f.Skip = skip
	return f
}

// Limited is a fault that answers 429, with a Retry-After header unless that
// is "".
func Limited(pattern string, times int, retryAfter string) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Handler: func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"a fault of the test"}]}`, http.StatusTooManyRequests)
	}}
}

// Reset is a fault that resets the connection without an answer.
func Reset(pattern string, times int) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Handler: func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}}
}

// Hang is a fault that answers nothing while the client waits.
func Hang(pattern string, times int) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Handler: func(_ http.ResponseWriter, req *http.Request) {
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	}}
}

// Truncate is a fault that announces the registry's whole answer and breaks
// off after n bytes of it.
func Truncate(pattern string, times, n int) Fault {
	return altered(pattern, times, func(body []byte) []byte { return body[:min(n, len(body))] })
}

// Flip is a fault that flips a bit in the byte at of the registry's answer,
// counted from its end if at is negative.
func Flip(pattern string, times, at int) Fault {
	return altered(pattern, times, func(body []byte) []byte {
		if at < 0 {
			at += len(body)
		}
		if at >= 0 && at < len(body) {
			body[at] ^= 1
		}
		return body
	})
}

// Lost is a fault that has the registry do what it is asked, and then breaks
// the connection instead of saying so.
func Lost(pattern string, times int) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Wrap: func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			registry.ServeHTTP(httptest.NewRecorder(), req)
			panic(http.ErrAbortHandler)
		})
	}}
}

// Header is a fault that sets a header of the registry's answer, or removes it
// if value is "".
func Header(pattern string, times int, name, value string) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Wrap: func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			rec := httptest.NewRecorder()
			registry.ServeHTTP(rec, req)
			rec.Header().Del(name)
			if value != "" {
				rec.Header().Set(name, value)
			}
			send(w, rec, rec.Body.Bytes())
		})
	}}
}

// altered is a fault that sends another body with the headers of the right one.
func altered(pattern string, times int, alter func([]byte) []byte) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Wrap: func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			rec := httptest.NewRecorder()
			registry.ServeHTTP(rec, req)
			if req.Method != http.MethodHead && rec.Header().Get("Content-Length") == "" {
				rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
			}
			body := alter(rec.Body.Bytes())
			short := len(body) < rec.Body.Len()
			send(w, rec, body)
			if short {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		})
	}}
}

func send(w http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

// Slow is a fault that holds the registry's answer back until release is
// closed.
func Slow(pattern string, times int, release <-chan struct{}) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Wrap: func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			select {
			case <-release:
			case <-req.Context().Done():
			case <-time.After(time.Minute):
			}
			registry.ServeHTTP(w, req)
		})
	}}
}

// Counts counts the requests so far by what they are about: "GET manifest",
// "HEAD blob", "POST upload", "GET tags", "GET referrers", "GET /v2/" and
// "GET other" for the rest. Only kinds that occurred are in the map.
func (r *Registry) Counts() map[string]int {
	counts := map[string]int{}
	for _, req := range r.Requests() {
		counts[class(req)]++
	}
	return counts
}

var classes = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`/manifests/[^/]+$`), "manifest"},
	{regexp.MustCompile(`/blobs/uploads/`), "upload"},
	{regexp.MustCompile(`/blobs/[^/]+$`), "blob"},
	{regexp.MustCompile(`/tags/list$`), "tags"},
	{regexp.MustCompile(`/referrers/[^/]+$`), "referrers"},
	{regexp.MustCompile(` /v2/?$`), "/v2/"},
}

func class(request string) string {
	for i, c := range request {
		if c != ' ' {
			continue
		}
		for _, k := range classes {
			if k.pattern.MatchString(request) {
				return request[:i] + " " + k.name
			}
		}
		return request[:i] + " other"
	}
	return request
}
