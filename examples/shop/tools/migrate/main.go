// Command migrate applies the migrations in a directory, in the order of their
// names, to an empty catalogue and writes the catalogue that comes out.
//
// A migration is a JSON document: products to add or to change, and the IDs of
// products to drop. The same migrations always give the same bytes.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"example.com/shop/lib/shop"
)

func main() {
	from := flag.String("from", "/migrations", "`directory` of migrations")
	to := flag.String("to", "/data/catalogue.json", "`file` to write the catalogue to")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

// A migration is one change of the catalogue.
type migration struct {
	Put  []shop.Product `json:"put"`
	Drop []string       `json:"drop"`
}

// A catalogue is what comes out. Schema counts the migrations applied.
type catalogue struct {
	Schema   int            `json:"schema"`
	Products []shop.Product `json:"products"`
}

func run(from, to string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no migrations in %s", from)
	}
	slices.Sort(files)
	out, err := apply(files)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, append(b, '\n'), 0o644)
}

func apply(files []string) (*catalogue, error) {
	products := map[string]shop.Product{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var m migration
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(f), err)
		}
		for _, p := range m.Put {
			products[p.ID] = p
		}
		for _, id := range m.Drop {
			if _, ok := products[id]; !ok {
				return nil, fmt.Errorf("%s: drops %q, which is not there", filepath.Base(f), id)
			}
			delete(products, id)
		}
	}
	c := &catalogue{Schema: len(files), Products: []shop.Product{}}
	for _, p := range products {
		c.Products = append(c.Products, p)
	}
	slices.SortFunc(c.Products, func(a, b shop.Product) int { return cmp.Compare(a.ID, b.ID) })
	return c, nil
}
