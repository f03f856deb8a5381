package connector

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// Encoding says how the records of a source are written, as FORMAT and ENCODE, or
// the option format, give it.
type Encoding struct {
	CSV     bool // else JSON
	Options format.Options
	Columns []format.Column
}

// ReadEncoding reads FORMAT, ENCODE and its options from cfg, and the option
// format from o. noHeader is the default for CSV.
func ReadEncoding(cfg Config, o *Options, noHeader bool) (*Encoding, error) {
	if cfg.Format != "" && cfg.Format != "PLAIN" {
		return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("FORMAT %s is not supported by %s", cfg.Format, o.what),
			Hint: "Use FORMAT PLAIN."}
	}
	e := &Encoding{}
	switch cfg.Encode {
	case "":
		e.CSV = o.Word("format", "json", "json", "csv") == "csv"
	case "JSON", "CSV":
		e.CSV = cfg.Encode == "CSV"
		if want := map[bool]string{false: "json", true: "csv"}[e.CSV]; o.Word("format", want, "json", "csv") != want {
			o.Bad("format", o.Str("format", ""), want+", as ENCODE says")
		}
	default:
		return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("ENCODE %s is not supported by %s", cfg.Encode, o.what),
			Hint: "Use ENCODE JSON or ENCODE CSV."}
	}
	from := o
	if cfg.Encode != "" {
		from = NewOptions("ENCODE "+cfg.Encode, cfg.Encoded)
	}
	if e.CSV {
		e.csv(from, noHeader)
	} else {
		micros := map[string]int64{"s": 1_000_000, "ms": 1000, "us": 1}
		e.Options.EpochMicros = micros[from.Word("timestamp_unit", "ms", "s", "ms", "us")]
	}
	if from != o {
		if err := from.Err(); err != nil {
			return nil, err
		}
	}
	for _, c := range cfg.Columns {
		e.Columns = append(e.Columns, format.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Skip: c.Generated})
	}
	return e, nil
}

func (e *Encoding) csv(o *Options, noHeader bool) {
	e.Options.NoHeader = !o.Bool("header", !noHeader)
	if o.Has("without_header") {
		e.Options.NoHeader = o.Bool("without_header", noHeader)
	}
	d := o.Str("delimiter", ",")
	if d == `\t` || d == "tab" {
		d = "\t"
	}
	if len(d) != 1 || d[0] >= 0x80 || d[0] == '"' || d[0] == '\n' || d[0] == '\r' || d[0] == 0 {
		o.Bad("delimiter", d, "one ASCII character that is no quote or line end")
		return
	}
	e.Options.Delimiter = d[0]
}

// Decoder returns a new decoder.
func (e *Encoding) Decoder() format.Decoder {
	if e.CSV {
		return format.NewCSV(e.Columns, e.Options)
	}
	return format.NewJSON(e.Columns, e.Options)
}

// Types returns the columns' types.
func (e *Encoding) Types() []types.Type {
	ts := make([]types.Type, len(e.Columns))
	for i, c := range e.Columns {
		ts[i] = c.Type
	}
	return ts
}

// BadOf returns what a decoder found bad as a block holds it: a copy, cut to
// MaxBadBytes.
func BadOf(b format.Bad) Bad {
	data := b.Data
	if len(data) > MaxBadBytes {
		data = data[:MaxBadBytes]
	}
	return Bad{Data: append([]byte(nil), data...), Reason: b.Reason}
}
