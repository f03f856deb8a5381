package pgparser

import (
	"errors"
	"flag"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/pganalyze/pg_query_go/v4/parser"

	"github.com/tidemill/tidemill/internal/sql"
)

var (
	rounds = flag.Int("mutations", 40, "mutations of each statement of the corpus")
	seed   = flag.Uint64("seed", 1, "seed of the mutations")
)

// tokens cuts a statement roughly: words, strings, numbers, operators.
var tokens = regexp.MustCompile(`(?:[eEbBxXnN]|[uU]&)?'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$.*?\$\w*\$|[\pL_][\pL\pN_$]*|\$?[0-9.]+(?:[eE][-+]?[0-9]+)?|::|:=|[-+*/<>=~!@#%^&|?` + "`" + `]+|\S`)

// spare are tokens that mutations insert.
var spare = strings.Fields(`( ) , ; . * + - = < || :: [ ] a 1 'x' NOT NULL AS IN IS AND OR LIKE ANY SELECT FROM WHERE ON JOIN LEFT BY ORDER ALL ` +
	`DISTINCT INTERVAL int year ROW VALUES WITH DEFAULT SET TO OVER FILTER BETWEEN ESCAPE COLLATE AT TIME ZONE CASE END ONLY USING FOR LIMIT`)

// mutate changes one to three tokens.
func mutate(r *rand.Rand, text string) string {
	l := tokens.FindAllString(text, -1)
	for range 1 + r.IntN(3) {
		if len(l) < 2 {
			break
		}
		i, j := r.IntN(len(l)), r.IntN(len(l))
		switch r.IntN(5) {
		case 0: // delete
			l = append(l[:i:i], l[i+1:]...)
		case 1: // double
			l = append(l[:i:i], append([]string{l[i]}, l[i:]...)...)
		case 2: // swap
			l[i], l[j] = l[j], l[i]
		case 3: // copy one over another
			l[i] = l[j]
		case 4: // insert
			l = append(l[:i:i], append([]string{spare[r.IntN(len(spare))]}, l[i:]...)...)
		}
	}
	return strings.Join(l, " ")
}

func TestMutationsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(*seed, 1))
	accepted, refused, excused := 0, 0, 0
	var samePlace places
	for _, text := range corpus(t, "postgres.sql") {
		for range *rounds {
			m := mutate(r, text)
			want, pgErr := pgTree(m)
			_, err := sql.Parse(m, sql.Options{})
			switch {
			case deliberate(m, pgErr, err):
				excused++
			case (pgErr == nil) != (err == nil):
				t.Errorf("%s\nPostgreSQL: %v\nwe:         %v", m, pgErr, err)
			case err == nil:
				accepted++
				checkTree(t, m, want)
			default:
				refused++
				checkError(t, &samePlace, m, pgErr, err)
			}
		}
	}
	t.Logf("seed %d: accepted %d, refused %d, deliberately different %d", *seed, accepted, refused, excused)
	t.Logf("syntax errors: %d of %d with PostgreSQL's words and place", samePlace.same, samePlace.of)
	if samePlace.same*100 < samePlace.of*98 {
		t.Error("too many syntax errors point elsewhere than PostgreSQL's; -v lists them")
	}
	if accepted < 100 || refused < 100 {
		t.Error("too few statements of one kind to mean anything")
	}
}

// places counts syntax errors, and those that agree in words and place.
type places struct{ same, of int }

// checkError compares the message and position of a plain syntax error. A few may differ: PostgreSQL's parser goes one word further
// where a phrase is begun and not ended, and reports a missing alias later.
func checkError(t *testing.T, samePlace *places, text string, pgErr, err error) {
	t.Helper()
	theirs, ok := pgErr.(*parser.Error)
	var ours *sql.Error
	if !ok || !errors.As(err, &ours) {
		t.Fatalf("%s\nerrors of other types: %T, %T", text, pgErr, err)
	}
	if !strings.HasPrefix(theirs.Message, "syntax error") || ours.Code != "42601" {
		return
	}
	samePlace.of++
	if theirs.Message == ours.Message && theirs.Cursorpos == sql.CharPos(text, ours.Pos) {
		samePlace.same++
	} else if testing.Verbose() {
		t.Logf("%s\nPostgreSQL: %s, position %d\nwe:         %s, position %d", text, theirs.Message, theirs.Cursorpos,
			ours.Message, sql.CharPos(text, ours.Pos))
	}
}

// deliberate reports whether a difference is meant. An error of another code than 42601 is one that PostgreSQL reports in a later
// stage, or a feature of PostgreSQL that we know and do not support.
func deliberate(text string, pgErr, err error) bool {
	var ours *sql.Error
	if errors.As(err, &ours) && ours.Code != "42601" && pgErr == nil {
		return true
	}
	for _, d := range differences {
		if (pgErr == nil) == d.pgAccepts && (err == nil) == !d.pgAccepts && d.pattern.MatchString(text) {
			return true
		}
	}
	return false
}
