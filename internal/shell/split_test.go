package shell

import (
	"reflect"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ; -- nothing\n;", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT ';'; SELECT 2;", []string{"SELECT ';';", " SELECT 2;"}},
		{`SELECT "a;b", E'\';' ; x`, []string{`SELECT "a;b", E'\';' ;`, " x"}},
		{"SELECT $$;$$, $a$;$$;$a$; y", []string{"SELECT $$;$$, $a$;$$;$a$;", " y"}},
		{"SELECT 1 /* ; /* ; */ ; */; z", []string{"SELECT 1 /* ; /* ; */ ; */;", " z"}},
		{"SELECT (1; 2); z", []string{"SELECT (1; 2);", " z"}},
		{"SELECT 'it''s;'; a$b$; z", []string{"SELECT 'it''s;';", " a$b$;", " z"}},
	} {
		if got := Split(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Split(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT 1;": true, "SELECT 1": false, "": true, "SELECT ';": false, "SELECT 1; -- done": true, "SELECT 1; SELECT": false,
	} {
		if got := Complete(text); got != want {
			t.Errorf("Complete(%q) = %v", text, got)
		}
	}
}

func TestPlace(t *testing.T) {
	line, col, n := place("SELECT\n  ä, nope\nFROM t", 13)
	if line != "  ä, nope" || col != 6 || n != 2 {
		t.Errorf("place: %q, column %d, line %d", line, col, n)
	}
}
