package http

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

func config(encode string) connector.Config {
	return connector.Config{Name: "in", Encode: encode, Columns: []connector.Column{{Name: "a", Type: types.T(types.Int8)}, {Name: "b", Type: types.T(types.Text)}}}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		encode, body string
		rows, bad    int
	}{
		{"", "{\"a\":1}\n{\"a\":2,\"b\":\"x\"}", 2, 0}, {"JSON", `[{"a":1},{"a":"x"},{"a":3}]`, 2, 1}, {"JSON", "{\n\"a\": 1\n}\n", 1, 0},
		{"JSON", "\ufeff{\"a\":1}\nnonsense\n{\"a\":2}", 2, 1}, {"CSV", "b,a\nx,1\ny,z\n,3\n", 2, 1}, {"JSON", "[]", 0, 0}, {"JSON", "oops", 0, 1},
	} {
		s, err := New(config(c.encode))
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Decode([]byte(c.body))
		if err != nil || b.Rows.Len() != c.rows || len(b.Bad) != c.bad {
			t.Errorf("%q: %v rows, %v bad, %v", c.body, b.Rows, b.Bad, err)
		}
		if c.rows > 0 && b.Rows.Cols[0].I64[0] != 1 {
			t.Errorf("%q: first is %d", c.body, b.Rows.Cols[0].I64[0])
		}
	}
}

func TestEmptyBody(t *testing.T) {
	s, _ := New(config(""))
	for _, body := range []string{"", " \r\n", "\ufeff"} {
		_, err := s.Decode([]byte(body))
		if err == nil || !strings.Contains(err.Error(), `empty body for source "in"`) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestLongBadRecordIsCut(t *testing.T) {
	s, _ := New(config(""))
	body := []byte(strings.Repeat("x", connector.MaxBadBytes+10))
	b, err := s.Decode(body)
	if err != nil || len(b.Bad) != 1 || len(b.Bad[0].Data) != connector.MaxBadBytes {
		t.Fatalf("%d bad, %v", len(b.Bad), err)
	}
	body[0] = 'y'
	if b.Bad[0].Data[0] != 'x' {
		t.Error("the bad record shares the body's memory")
	}
}

func TestConcurrentDecode(t *testing.T) {
	s, _ := New(config(""))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				b, err := s.Decode(fmt.Appendf(nil, `{"a":%d,"b":"g%d"}`, i, g))
				if err != nil || b.Rows.Len() != 1 || b.Rows.Cols[0].I64[0] != int64(i) || string(b.Rows.Cols[1].StrAt(0)) != fmt.Sprintf("g%d", g) {
					t.Errorf("got %v, %v", b, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options, encoded map[string]string
		format, encode   string
		code, want       string
	}{
		{map[string]string{"path": "x"}, nil, "", "", types.CodeInvalidParameter, `unknown option "path" of http source`},
		{map[string]string{"format": "xml"}, nil, "", "", types.CodeInvalidParameter, `"xml"`},
		{map[string]string{"format": "csv"}, nil, "PLAIN", "JSON", types.CodeInvalidParameter, "json"},
		{nil, map[string]string{"delimiter": ";;"}, "PLAIN", "CSV", types.CodeInvalidParameter, `";;"`},
		{nil, map[string]string{"delimiter": ";"}, "PLAIN", "JSON", types.CodeInvalidParameter, `unknown option "delimiter" of ENCODE JSON`},
		{nil, nil, "UPSERT", "JSON", types.CodeFeature, "FORMAT UPSERT"}, {nil, nil, "PLAIN", "AVRO", types.CodeFeature, "ENCODE AVRO"},
	} {
		cfg := config(c.encode)
		cfg.Options, cfg.Encoded, cfg.Format = c.options, c.encoded, c.format
		_, err := New(cfg)
		var sql *types.Error
		if !errors.As(err, &sql) || sql.Code != c.code || !strings.Contains(sql.Message, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
