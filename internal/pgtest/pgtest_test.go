package pgtest

import "testing"

func TestStart(t *testing.T) {
	c := Connect(t)
	r := Query(t, c, "SELECT 1 + 1, NULL, 'a'::text")
	if r.Err != nil || len(r.Rows) != 1 || *r.Rows[0][0] != "2" || r.Rows[0][1] != nil || *r.Rows[0][2] != "a" {
		t.Fatalf("got %+v", r)
	}
	if r = Query(t, c, "SELECT 1/0"); r.Err == nil || r.Err.Code != "22012" {
		t.Fatalf("got %+v", r)
	}
}
