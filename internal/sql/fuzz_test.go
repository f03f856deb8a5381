package sql

import "testing"

// FuzzLexer: the lexer ends, never panics, and its tokens cover the text in order.
func FuzzLexer(f *testing.F) {
	for _, s := range all(f) {
		f.Add(s)
	}
	f.Add("'a'\n'b' E'\\x' U&'\\' $a$ $1a 1..2 1e+ --x\n/*/**/*/ a$b {-")
	f.Fuzz(func(t *testing.T, text string) {
		for _, pattern := range []bool{false, true} {
			l := lexer{src: text, pattern: pattern}
			end := 0
			for {
				tok, err := l.next()
				if err != nil {
					if err.Pos < 0 || err.Pos > len(text) {
						t.Fatalf("error at %d of %d", err.Pos, len(text))
					}
					break
				}
				if tok.pos < end || tok.end < tok.pos || tok.end > len(text) {
					t.Fatalf("token %d..%d after %d", tok.pos, tok.end, end)
				}
				if tok.kind == tokEOF {
					break
				}
				if tok.end == tok.pos {
					t.Fatalf("empty token at %d", tok.pos)
				}
				end = tok.end
			}
		}
	})
}

// FuzzParse: Parse never panics; what it accepts prints and reads back as an equal tree.
func FuzzParse(f *testing.F) {
	for _, s := range all(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text, Options{MaxDepth: 500})
		if err != nil {
			if e := err.(*Error); e.Pos < 0 || e.Pos > len(text) || e.Code == "" || e.Message == "" {
				t.Fatalf("error %+v", e)
			}
			return
		}
		end := 0
		for _, s := range l {
			if s.Pos() < end || s.End() <= s.Pos() || s.End() > len(text) {
				t.Fatalf("statement %d..%d after %d", s.Pos(), s.End(), end)
			}
			end = s.End()
			checkRoundTrip(t, text, s)
		}
	})
}
