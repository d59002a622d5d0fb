// Package shop holds what the services of the shop talk about, and how: JSON
// over HTTP.
package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Product is a thing that can be ordered.
type Product struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
	Stock int    `json:"stock"`
}

// Price is the price as the customer reads it.
func (p Product) Price() string { return fmt.Sprintf("%d.%02d €", p.Cents/100, p.Cents%100) }

// The states of an order.
const (
	Placed  = "placed"
	Shipped = "shipped"
)

// An Order is a number of pieces of one product.
type Order struct {
	ID      int    `json:"id"`
	Product string `json:"product"`
	Pieces  int    `json:"pieces"`
	State   string `json:"state"`
}

var client = &http.Client{Timeout: 5 * time.Second}

// Get decodes the JSON document at url into v.
func Get(ctx context.Context, url string, v any) error {
	return do(ctx, http.MethodGet, url, nil, v)
}

// Post sends body as JSON to url and decodes the answer into v, which may be nil.
func Post(ctx context.Context, url string, body, v any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return do(ctx, http.MethodPost, url, bytes.NewReader(b), v)
}

func do(ctx context.Context, method, url string, body io.Reader, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// Reply answers a request with v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The status is out: a reader who went away is no concern of ours.
	_ = json.NewEncoder(w).Encode(v)
}
