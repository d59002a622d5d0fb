package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-build/strata/history"
)

// A HistoryFormat says how a history is printed.
type HistoryFormat struct {
	Format  string // "table" or "", "json", or a Go text/template over history.Record
	NoTrunc bool   // whole commands and digests
	All     bool   // every layer of the base too

	Now time.Time // what ages are counted from; zero: the present
}

// History prints one record, the newest step first; the layers of its base are
// one line unless asked for. The JSON form is in docs/reference/history.md. An
// error in a template is returned before anything is printed.
func History(w io.Writer, t Terminal, rec history.Record, f HistoryFormat) error {
	switch f.Format {
	case "", "table":
	case "json":
		return HistoryJSON(w, rec)
	default:
		return historyTemplate(w, rec, f)
	}
	p := newPrinter(w, t)
	if f.NoTrunc {
		p.s.tty = false
	}
	if f.Now.IsZero() {
		f.Now = time.Now()
	}
	for i, image := range rec.Images {
		if i > 0 {
			p.line()
		}
		p.line(p.paint(title(rec), bold), p.facts(rec, image, f.NoTrunc), age(rec, image, f.Now))
		p.layers(image, f)
	}
	if len(rec.Images) == 0 {
		p.line(p.paint(title(rec), bold), " · no image")
	}
	return p.err
}

// HistoryJSON prints a value made of records (one, or a slice) as indented
// JSON.
func HistoryJSON(w io.Writer, records any) error {
	text, err := marshal(records, "  ")
	if err != nil {
		return fmt.Errorf("writing history: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// Histories prints the records of a build. With show "built" those with a
// built layer come in full and the others on one line each, with "all" all
// come in full, with "none" nothing is printed.
func Histories(w io.Writer, t Terminal, recs []history.Record, show string) error {
	switch show {
	case "built", "all":
	case "none":
		return nil
	default:
		return fmt.Errorf("unknown choice of histories %q: use built, all or none", show)
	}
	p := newPrinter(w, t)
	full := false // whether the last one was printed in full
	for i, rec := range recs {
		for j, image := range rec.Images {
			detailed := show == "all" || built(image)
			if i+j > 0 && (detailed || full) {
				p.line()
			}
			full = detailed
			p.line(p.paint(title(rec), bold), p.facts(rec, image, false))
			if detailed {
				p.steps(image)
			}
		}
	}
	return p.err
}

func built(image history.Image) bool {
	for _, l := range image.Layers {
		if l.State == history.Built {
			return true
		}
	}
	return false
}

// title names a record: its target, or how its image was named.
func title(rec history.Record) string {
	for _, name := range []string{rec.Target, rec.Ref, rec.Digest} {
		if name != "" {
			return SanitizeLine(name)
		}
	}
	return "image"
}

// facts is the rest of the line above a table: " · linux/amd64 ·
// sha256:1f0c… · 14.2 MB · 5 layers, 3 cached".
func (p *printer) facts(rec history.Record, image history.Image, whole bool) string {
	digest := image.Digest
	if digest == "" && len(rec.Images) == 1 {
		digest = rec.Digest
	}
	if digest != "" && !whole {
		digest = ShortDigest(digest)
	}
	size := ""
	if image.Size >= 0 {
		size = Bytes(image.Size)
		if image.SizeKind == "disk" {
			size += " unpacked"
		}
	}
	var b strings.Builder
	for _, part := range []string{image.Platform, digest, size, layerCount(image)} {
		if part != "" {
			b.WriteString(" · " + SanitizeLine(part))
		}
	}
	return b.String()
}

// layerCount counts the layers and those among them that were there before.
func layerCount(image history.Image) string {
	layers, cached, known := 0, 0, false
	for _, l := range image.Layers {
		if l.Empty || l.State == history.Config {
			continue
		}
		layers++
		if l.State == history.Cached || l.State == history.Base {
			cached++
		}
		known = known || l.State == history.Built || l.State == history.Cached
	}
	text := count(layers, "layer")
	if known && cached > 0 {
		text += fmt.Sprintf(", %d cached", cached)
	}
	return text
}

// age says when and by which run an image was made.
func age(rec history.Record, image history.Image, now time.Time) string {
	switch {
	case !rec.BuiltAt.IsZero():
		text := " · built " + Ago(rec.BuiltAt, now)
		if rec.Run != "" {
			text += " by run " + SanitizeLine(rec.Run)
		}
		return text
	case !image.Created.IsZero():
		return " · created " + Ago(image.Created, now)
	}
	return ""
}

// layers prints the table of one image as it is looked up later.
func (p *printer) layers(image history.Image, f HistoryFormat) {
	columns := []Column{
		{Title: "#", Kind: Number},
		{Title: "CREATED BY", Kind: Free},
		{Title: "SIZE", Kind: Number},
		{Title: "CREATED", Optional: true},
		{Title: "TIME", Kind: Number},
		{Title: "STATE", Kind: State},
		{Title: "LAYER", Optional: true},
		{Title: "", Optional: true},
	}
	var rows [][]string
	for _, l := range newestFirst(image, f.All) {
		row := []string{
			number(l.Step), command(l.CreatedBy, f.NoTrunc), layerSize(l.Layer),
			created(l.Created, f.Now), took(l.Time, image), string(l.State),
			layerName(l, f.NoTrunc), l.Place,
		}
		if l.folded > 1 {
			row[7] = "--all shows them"
		}
		rows = append(rows, row)
	}
	p.table(columns, rows, "  ")
}

// steps prints the table of one image as it is shown after a build.
func (p *printer) steps(image history.Image) {
	columns := []Column{
		{Title: "#", Kind: Number},
		{Title: "STEP", Kind: Free},
		{Title: "SIZE", Kind: Number},
		{Title: "TIME", Kind: Number},
		{Title: "STATE", Kind: State},
		{Title: "LAYER"},
		{Title: "SHARED WITH"},
	}
	var rows [][]string
	for _, l := range newestFirst(image, false) {
		rows = append(rows, []string{
			number(l.Step), command(l.CreatedBy, false), layerSize(l.Layer),
			took(l.Time, image), string(l.State), layerName(l, false), shared(l.Layer),
		})
	}
	p.table(columns, rows, "  ")
}

// A tableLayer is a line of a history table: one layer, or all of the base.
type tableLayer struct {
	history.Layer
	folded int // layers of the base it stands for
}

// newestFirst turns the layers of an image over, with those of its base folded
// into one line unless all are wanted.
func newestFirst(image history.Image, all bool) []tableLayer {
	var lines []tableLayer
	var base []history.Layer
	for _, l := range slices.Backward(image.Layers) {
		if l.State == history.Base && !all {
			base = append(base, l)
		} else {
			lines = append(lines, tableLayer{Layer: l})
		}
	}
	if len(base) > 0 {
		lines = append(lines, fold(image.Base, base))
	}
	return lines
}

// fold makes one line of the layers of a base, newest first. A target that has the
// newest of them has them all: it was made on top of the others.
func fold(name string, layers []history.Layer) tableLayer {
	line := tableLayer{Layer: history.Layer{CreatedBy: "FROM " + name, State: history.Base}}
	if name == "" {
		line.CreatedBy = "base image"
	}
	for _, l := range layers {
		if l.Created.After(line.Created) {
			line.Created = l.Created
		}
		if l.Empty {
			continue
		}
		if line.folded++; line.folded == 1 {
			line.SharedWith, line.SharedCount = l.SharedWith, l.SharedCount
		}
		line.Digest = l.Digest
		line.Size = sum(line.Size, l.Size)
	}
	line.Empty = line.folded == 0
	return line
}

// sum adds sizes of which one may be unknown.
func sum(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

func number(step int) string {
	if step == 0 {
		return ""
	}
	return strconv.Itoa(step)
}

// command is an instruction as a person wrote it: without what builders put
// around it, unless the whole of it is wanted.
func command(createdBy string, whole bool) string {
	if whole {
		return createdBy
	}
	text := strings.Join(strings.Fields(strings.TrimSuffix(createdBy, " # buildkit")), " ")
	if rest, ok := strings.CutPrefix(text, "/bin/sh -c #(nop) "); ok {
		return rest
	}
	if rest, ok := strings.CutPrefix(text, "RUN /bin/sh -c "); ok {
		return "RUN " + rest
	}
	if rest, ok := strings.CutPrefix(text, "/bin/sh -c "); ok {
		return "RUN " + rest
	}
	return text
}

func layerSize(l history.Layer) string {
	if l.Empty || l.State == history.Config {
		return none
	}
	return Bytes(l.Size)
}

// created is the age of a layer; reproducible images carry no real date.
func created(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return Ago(at, now)
}

// took is how long a step ran; nothing in an image that nobody here built.
func took(d time.Duration, image history.Image) string {
	if d > 0 {
		return Duration(d)
	}
	for _, l := range image.Layers {
		if l.Time > 0 {
			return none
		}
	}
	return ""
}

// layerName is the digest of a layer, or how many the line stands for.
func layerName(l tableLayer, whole bool) string {
	switch {
	case l.folded > 1:
		return count(l.folded, "layer")
	case l.Digest == "" && l.State == "":
		return ""
	case l.Digest == "":
		return none
	case whole:
		return l.Digest
	}
	if _, hex, ok := strings.Cut(l.Digest, ":"); ok {
		return hex[:min(len(hex), shortLen)]
	}
	return l.Digest
}

// shared lists who else has a layer; many are counted.
func shared(l history.Layer) string {
	if n := l.Sharers(); n > 3 {
		return count(n, "target")
	}
	return strings.Join(l.SharedWith, ", ")
}
