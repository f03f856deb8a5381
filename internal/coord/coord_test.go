package coord

import (
	"fmt"
	"reflect"
	"testing"
)

// leading returns a coord that has taken over an empty log.
func leading(t *testing.T, cfg Config) *Coord {
	t.Helper()
	c := New(cfg)
	want(t, c.Step(EndOfLog{}), Claim{1})
	want(t, c.Step(Staged{Records: 1, Hash: Hash{1}}), Append{0})
	want(t, c.Step(Appended{Done}), Lead{1})
	return c
}

func want(t *testing.T, got []Effect, exp ...Effect) {
	t.Helper()
	if len(got) == 0 && len(exp) == 0 {
		return
	}
	if !reflect.DeepEqual(got, exp) {
		t.Fatalf("got %#v\nwant %#v", got, exp)
	}
}

func submit(id uint64, k ItemKind) Submitted { return Submitted{[]Item{{ID: id, Kind: k, Rows: 1}}} }

func TestWritersAreAnsweredAfterTheCommit(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(submit(1, Tx)), Compute{1, []uint64{1}, false})
	want(t, c.Step(submit(2, Tx)))
	want(t, c.Step(submit(3, Tx)))
	want(t, c.Step(Staged{Records: 2, Hash: Hash{2}}), Append{1})
	want(t, c.Step(Appended{Done}), Publish{1}, Answer{[]uint64{1}, Done}, Compute{2, []uint64{2, 3}, false})
	want(t, c.Step(Staged{Records: 2, Hash: Hash{3}, Rejected: []uint64{3}}), Append{3})
	want(t, c.Step(Appended{Done}), Publish{2}, Answer{[]uint64{3}, Rejected}, Answer{[]uint64{2}, Done})
}

func TestNothingToLogIsNoStep(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(submit(1, Tx)), Compute{1, []uint64{1}, false})
	want(t, c.Step(Staged{Rejected: []uint64{1}}), Forget{}, Answer{[]uint64{1}, Rejected})
	want(t, c.Step(submit(2, Tx)), Compute{1, []uint64{2}, false})
}

func TestUnknownOutcomes(t *testing.T) {
	cases := []struct {
		name string
		then []Event
		last []Effect
	}{
		{"sent again with the same place", []Event{Clock{20_000}}, []Effect{Append{1}}},
		{"it was not there", []Event{Clock{20_000}, Appended{Done}}, []Effect{Publish{1}, Answer{[]uint64{1}, Done}}},
		{"it was there", []Event{Clock{20_000}, Appended{WrongSequence}, Record{Seq: 2, Epoch: 1, Prev: Hash{1}, Hash: Hash{9}},
			Record{Seq: 3, Kind: RecordStep, Epoch: 1, Prev: Hash{9}, Hash: Hash{2}, Step: 1}}, []Effect{Publish{1}, Answer{[]uint64{1}, Done}}},
		{"another leader was there", []Event{Clock{20_000}, Appended{WrongSequence}, Record{Seq: 2, Kind: RecordEpoch, Epoch: 2, Prev: Hash{1}, Hash: Hash{9}}},
			[]Effect{Dropped{true, "epoch 2 has taken over from epoch 1"}, Answer{[]uint64{1}, Refused}}},
		{"nothing was there yet", []Event{Clock{20_000}, Appended{WrongSequence}, EndOfLog{}}, []Effect{Wake{60_000}}},
		{"too early", []Event{Clock{19_999}}, []Effect{Wake{20_000}}},
	}
	for _, cs := range cases {
		c := leading(t, Config{})
		c.Step(submit(1, Tx))
		want(t, c.Step(Staged{Records: 2, Hash: Hash{2}}), Append{1})
		want(t, c.Step(Appended{Unknown}), Wake{20_000})
		var out []Effect
		for _, ev := range cs.then {
			out = c.Step(ev)
		}
		t.Run(cs.name, func(t *testing.T) { want(t, out, cs.last...) })
	}
}

func TestGivesUpAfterManyAttempts(t *testing.T) {
	c := leading(t, Config{MaxAttempts: 3})
	c.Step(submit(1, Tx))
	c.Step(Staged{Records: 1, Hash: Hash{2}})
	c.Step(submit(2, Tx))
	now := int64(0)
	for range 2 {
		c.Step(Appended{Unknown})
		now += DefaultMaxBackoff
		want(t, c.Step(Clock{now}), Append{1})
	}
	want(t, c.Step(Appended{Unknown}), Dropped{false, "the log did not answer after 3 attempts"},
		Answer{[]uint64{1}, Unknown}, Answer{[]uint64{2}, Refused})
	want(t, c.Step(submit(3, Tx)), Answer{[]uint64{3}, Refused})
}

func TestCommandsStandAlone(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(submit(1, DDL)), Execute{1})
	for i, k := range []ItemKind{Tx, DDL, Tx, Tx} {
		want(t, c.Step(submit(uint64(i+2), k)))
	}
	want(t, c.Step(Staged{Records: 1, Hash: Hash{2}}), Append{1})
	want(t, c.Step(Appended{Done}), Publish{0}, Answer{[]uint64{1}, Done}, Compute{1, []uint64{2}, false})
	c.Step(Staged{Records: 2, Hash: Hash{3}})
	want(t, c.Step(Appended{Done}), Publish{1}, Answer{[]uint64{2}, Done}, Execute{3})
	want(t, c.Step(Staged{Rejected: []uint64{3}}), Forget{}, Answer{[]uint64{3}, Rejected}, Compute{2, []uint64{4, 5}, false})
}

func TestSourceRowsLinger(t *testing.T) {
	c := leading(t, Config{StepRows: 100, LingerMicros: 1000})
	c.Step(Clock{50_000})
	want(t, c.Step(Arrived{1}), Compute{1, nil, false}) // idle: at once
	c.Step(Staged{Records: 1, Hash: Hash{2}, Taken: 1})
	want(t, c.Step(Appended{Done}), Publish{1})
	want(t, c.Step(Clock{50_100}))
	want(t, c.Step(Arrived{10}), Wake{51_000})
	want(t, c.Step(Clock{50_999}), Wake{51_000})
	want(t, c.Step(Clock{51_000}), Compute{2, nil, false})
	c.Step(Staged{Records: 1, Hash: Hash{3}, Taken: 10})
	c.Step(Appended{Done})
	want(t, c.Step(Arrived{99}), Wake{52_000})
	want(t, c.Step(Arrived{1}), Compute{3, nil, false}) // full
	c.Step(Staged{Records: 1, Hash: Hash{4}, Taken: 60})
	want(t, c.Step(Appended{Done}), Publish{3}, Wake{52_000})
	want(t, c.Step(submit(1, Tx)), Compute{4, []uint64{1}, false}) // a writer does not wait
}

func TestFlushWaitsForAllThatWasAccepted(t *testing.T) {
	c := leading(t, Config{LingerMicros: 1000})
	want(t, c.Step(submit(1, Flush)), Answer{[]uint64{1}, Done})
	want(t, c.Step(submit(2, Tx)), Compute{1, []uint64{2}, false})
	c.Step(Arrived{5})
	want(t, c.Step(submit(3, Flush)))
	c.Step(Staged{Records: 2, Hash: Hash{2}, Taken: 3})
	want(t, c.Step(Appended{Done}), Publish{1}, Answer{[]uint64{2}, Done}, Compute{2, nil, false})
	c.Step(Staged{Records: 1, Hash: Hash{3}, Taken: 2})
	want(t, c.Step(Appended{Done}), Publish{2}, Answer{[]uint64{3}, Done})
}

func TestReplayRefusesWhatCannotBe(t *testing.T) {
	good := []Record{
		{Seq: 1, Kind: RecordEpoch, Epoch: 1, Hash: Hash{1}},
		{Seq: 2, Kind: RecordStep, Epoch: 1, Prev: Hash{1}, Hash: Hash{2}, Step: 1},
		{Seq: 3, Kind: RecordEpoch, Epoch: 5, Prev: Hash{2}, Hash: Hash{3}},
	}
	bad := map[string]Record{
		"a hole":           {Seq: 5, Epoch: 5, Prev: Hash{3}, Hash: Hash{4}},
		"a broken chain":   {Seq: 4, Epoch: 5, Prev: Hash{2}, Hash: Hash{4}},
		"an old leader":    {Seq: 4, Epoch: 1, Prev: Hash{3}, Hash: Hash{4}},
		"an old epoch":     {Seq: 4, Kind: RecordEpoch, Epoch: 5, Prev: Hash{3}, Hash: Hash{4}},
		"a step left out":  {Seq: 4, Kind: RecordStep, Epoch: 5, Prev: Hash{3}, Hash: Hash{4}, Step: 3},
		"a step repeated":  {Seq: 4, Kind: RecordStep, Epoch: 5, Prev: Hash{3}, Hash: Hash{4}, Step: 1},
		"an unknown epoch": {Seq: 4, Epoch: 6, Prev: Hash{3}, Hash: Hash{4}},
	}
	for name, r := range bad {
		c := New(Config{})
		for _, g := range good {
			want(t, c.Step(g))
		}
		if c.Step(r); c.Role() != Failed {
			t.Errorf("%s: role is %v", name, c.Role())
		}
	}
	c := New(Config{})
	for _, g := range good {
		c.Step(g)
	}
	want(t, c.Step(EndOfLog{}), Claim{6})
}

func TestTimeAloneMakesSteps(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(Due{At: 100}), Wake{100})
	want(t, c.Step(Clock{99}), Wake{100})
	want(t, c.Step(Clock{100}), Compute{1, nil, false})
	want(t, c.Step(Due{At: 50})) // told while a step is under way: it counts after it
	want(t, c.Step(Staged{Records: 1, Hash: Hash{2}}), Append{1})
	want(t, c.Step(Appended{Done}), Publish{1}, Compute{2, nil, false})
	want(t, c.Step(Staged{Records: 1, Hash: Hash{3}}), Append{2})
	want(t, c.Step(Appended{Done}), Publish{2}) // and no more than once
	want(t, c.Step(Clock{1_000_000}))
	want(t, c.Step(Due{At: NotDue}))

	// A step for another reason does what was due.
	want(t, c.Step(Due{At: 2_000_000}), Wake{2_000_000})
	want(t, c.Step(submit(1, Tx)), Compute{3, []uint64{1}, false})
	want(t, c.Step(Staged{Records: 1, Hash: Hash{4}}), Append{3})
	want(t, c.Step(Appended{Done}), Publish{3}, Answer{[]uint64{1}, Done})
	want(t, c.Step(Clock{3_000_000}))

	// Rows that linger and a time that is due: the earlier of the two.
	want(t, c.Step(Due{At: 3_005_000}), Wake{3_005_000})
	c2 := leading(t, Config{})
	want(t, c2.Step(Clock{1_000_000}))
	want(t, c2.Step(submit(1, Tx)), Compute{1, []uint64{1}, false})
	want(t, c2.Step(Staged{Records: 1, Hash: Hash{2}}), Append{1})
	want(t, c2.Step(Appended{Done}), Publish{1}, Answer{[]uint64{1}, Done})
	want(t, c2.Step(Due{At: 1_500_000}), Wake{1_500_000})
	want(t, c2.Step(Arrived{Rows: 1}), Wake{1_010_000})
}

func ExampleCoord() {
	c := New(Config{})
	fmt.Printf("%#v\n", c.Step(EndOfLog{}))
	// Output: []coord.Effect{coord.Claim{Epoch:0x1}}
}

func TestCheckpointsStandBetweenSteps(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(submit(1, Tx)), Compute{1, []uint64{1}, false})
	want(t, c.Step(submit(2, Checkpoint)))
	want(t, c.Step(submit(3, Tx)))
	c.Step(Staged{Records: 1, Hash: Hash{2}})
	want(t, c.Step(Appended{Done}), Publish{1}, Answer{[]uint64{1}, Done}, Execute{2})
	// It begins: nothing is logged, and steps go on.
	want(t, c.Step(Staged{}), Forget{}, Answer{[]uint64{2}, Done}, Compute{2, []uint64{3}, false})
	c.Step(Staged{Records: 1, Hash: Hash{3}})
	c.Step(Appended{Done})
	// It ends: its record is fenced as any other.
	want(t, c.Step(submit(4, Checkpoint)), Execute{4})
	want(t, c.Step(Staged{Records: 1, Hash: Hash{4}}), Append{3})
	want(t, c.Step(Appended{Unknown}), Wake{20_000})
	want(t, c.Step(Clock{20_000}), Append{3})
	want(t, c.Step(Appended{WrongSequence}), ReadOn{4})
	want(t, c.Step(Record{Seq: 4, Kind: RecordEpoch, Epoch: 2, Prev: Hash{3}, Hash: Hash{9}}),
		Dropped{true, "epoch 2 has taken over from epoch 1"}, Answer{[]uint64{4}, Refused})
}

func TestGoesOnBehindACheckpoint(t *testing.T) {
	start := Restored{Seq: 40, Hash: Hash{7}, Epoch: 3, Step: 20}
	c := New(Config{})
	want(t, c.Step(start))
	want(t, c.Step(Record{Seq: 41, Kind: RecordCheckpoint, Epoch: 3, Prev: Hash{7}, Hash: Hash{8}}))
	want(t, c.Step(Record{Seq: 42, Kind: RecordStep, Step: 21, Epoch: 3, Prev: Hash{8}, Hash: Hash{9}}))
	want(t, c.Step(EndOfLog{}), Claim{4})
	want(t, c.Step(Staged{Records: 1, Hash: Hash{10}}), Append{42})
	want(t, c.Step(Appended{Done}), Lead{4})
	want(t, c.Step(submit(1, Tx)), Compute{22, []uint64{1}, false})

	for _, bad := range []Record{
		{Seq: 41, Kind: RecordCheckpoint, Epoch: 3, Prev: Hash{6}, Hash: Hash{8}},
		{Seq: 42, Kind: RecordCheckpoint, Epoch: 3, Prev: Hash{7}, Hash: Hash{8}},
		{Seq: 41, Kind: RecordStep, Step: 20, Epoch: 3, Prev: Hash{7}, Hash: Hash{8}},
		{Seq: 41, Kind: RecordStep, Step: 21, Epoch: 2, Prev: Hash{7}, Hash: Hash{8}},
	} {
		c := New(Config{})
		c.Step(start)
		c.Step(bad)
		if c.Role() != Failed {
			t.Errorf("%+v after %+v: %v", bad, start, c.Role())
		}
	}
}

func TestBarriersWaitForAStepThatIsBegunAfterThem(t *testing.T) {
	c := leading(t, Config{})
	want(t, c.Step(submit(1, Barrier)), Compute{1, nil, true}) // nothing else to commit
	want(t, c.Step(submit(2, Barrier)))
	want(t, c.Step(submit(3, Tx)))
	want(t, c.Step(submit(4, Barrier)))
	want(t, c.Step(submit(5, DDL)))
	want(t, c.Step(submit(6, Barrier)))
	c.Step(Staged{Records: 1, Hash: Hash{2}})
	want(t, c.Step(Appended{Done}), Publish{1}, Answer{[]uint64{1}, Done}, Compute{2, []uint64{3}, true}) // they share it
	c.Step(Staged{Records: 1, Hash: Hash{3}, Rejected: []uint64{3}})
	want(t, c.Step(Appended{Done}), Publish{2}, Answer{[]uint64{3}, Rejected}, Answer{[]uint64{2, 4}, Done}, Execute{5})
	c.Step(Staged{Rejected: []uint64{5}})
	c.Step(Staged{Records: 1, Hash: Hash{4}})
	if n := c.Waiting(); n != 1 {
		t.Fatalf("%d wait", n)
	}
	want(t, c.Step(Appended{WrongSequence}), ReadOn{4})
	want(t, c.Step(Record{Seq: 4, Kind: RecordEpoch, Epoch: 2, Prev: Hash{3}, Hash: Hash{9}}),
		Dropped{true, "epoch 2 has taken over from epoch 1"}, Answer{[]uint64{6}, Refused})
}
