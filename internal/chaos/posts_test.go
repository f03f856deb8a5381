package chaos

import "testing"

func TestPostsChecker(t *testing.T) {
	h := &producers{}
	h.ack(1, 3)
	h.ack(2, 1)
	for _, c := range []struct {
		name string
		rows []string
		want map[class]int
	}{
		{"right", []string{"1|1", "1|2", "1|3", "2|1"}, nil},
		{"one of unknown outcome", []string{"1|1", "1|2", "1|3", "1|4", "2|1"}, nil},
		{"lost", []string{"1|1", "1|3", "2|1"}, map[class]int{lost: 1}},
		{"lost, the last of all", []string{"1|1", "1|2", "1|3"}, map[class]int{lost: 1}},
		{"twice", []string{"1|1", "1|2", "1|3", "2|1", "1|2"}, map[class]int{duplicated: 1}},
		{"of nobody", []string{"1|1", "1|2", "1|3", "2|1", "2|3", "3|7"}, map[class]int{wrong: 2}},
	} {
		f := &findings{}
		h.check(c.rows, f)
		expect(t, c.name, f, c.want)
	}
}
