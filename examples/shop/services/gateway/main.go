// Command gateway is the one door of the shop: it passes requests on to the
// services behind it.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"example.com/shop/lib/server"
)

// routes say which path goes where: the variable that names the service, and
// where it is if the variable is not set.
var routes = []struct{ path, env, fallback string }{
	{"/products", "API_URL", "http://localhost:8081"},
	{"/products/", "API_URL", "http://localhost:8081"},
	{"/orders", "ORDERS_URL", "http://localhost:8082"},
	{"/static/", "SITE_URL", "http://localhost:8085"},
	{"/", "WEB_URL", "http://localhost:8084"},
}

func main() {
	h, err := newHandler(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	server.Main("gateway", ":8080", h)
}

func newHandler(env func(string) string) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range routes {
		to := env(r.env)
		if to == "" {
			to = r.fallback
		}
		u, err := url.Parse(to)
		if err != nil {
			return nil, err
		}
		mux.Handle(r.path, &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(u)
			p.SetXForwarded()
		}})
	}
	return mux, nil
}
