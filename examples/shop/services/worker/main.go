// Command worker ships what was ordered. It has an HTTP side too, which says
// how much it has done.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"example.com/shop/lib/server"
	"example.com/shop/lib/shop"
)

func main() {
	w := &worker{orders: os.Getenv("ORDERS_URL")}
	if w.orders == "" {
		w.orders = "http://localhost:8082"
	}
	server.Main("worker", ":8083", w.handler(), func(ctx context.Context) { w.run(ctx, time.Second) })
}

// A worker ships the open orders of one orders service.
type worker struct {
	orders          string
	shipped, failed atomic.Int64
}

// run makes a round every interval until ctx is canceled.
func (w *worker) run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := w.round(ctx); err != nil {
			w.failed.Add(1)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// round ships all orders that are open now.
func (w *worker) round(ctx context.Context) error {
	var open []shop.Order
	if err := shop.Get(ctx, w.orders+"/orders?state="+shop.Placed, &open); err != nil {
		return err
	}
	for _, o := range open {
		if err := shop.Post(ctx, fmt.Sprintf("%s/orders/%d/ship", w.orders, o.ID), nil, nil); err != nil {
			return err
		}
		w.shipped.Add(1)
	}
	return nil
}

func (w *worker) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, "shop_orders_shipped_total %d\nshop_rounds_failed_total %d\n", w.shipped.Load(), w.failed.Load())
	})
	return mux
}
