package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/types"
)

// The child of TestSinkKilled is this program with killedFile set.
const (
	killedFile = "TIDEMILL_KILLED_SINK"
	killedWord = "TIDEMILL_KILLED_WORD"
	killSteps  = 150
	killRounds = 20
)

// killStep is what step n brings: sometimes a row, sometimes many, sometimes long ones.
func killStep(n uint64) *batch.Batch {
	rnd := rand.New(rand.NewPCG(n, 9))
	rows, size := 1+rnd.IntN(40), 20
	switch rnd.IntN(8) {
	case 0:
		rows = 2000
	case 1:
		size = 100_000
	}
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	for i := range rows {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(i)), types.TextValue(strings.Repeat("x\n\"", size/3))}, 1)
	}
	return bu.Seal()
}

func TestMain(m *testing.M) {
	if path := os.Getenv(killedFile); path != "" {
		err := killedSink(path, os.Getenv(killedWord))
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// killedSink delivers the steps to path until it is killed, and keeps its position
// beside it, as the engine does in its log.
func killedSink(path, word string) error {
	out := &conntest.Outlet{}
	for n := uint64(1); n <= killSteps; n++ {
		out.Add(n, killStep(n))
	}
	if data, err := os.ReadFile(path + ".position"); err == nil && len(data) == 8 {
		out.Done(context.Background(), binary.LittleEndian.Uint64(data))
	}
	out.OnDone = func(step uint64) error {
		if step == killSteps {
			fmt.Println("delivered")
			return nil
		}
		data := binary.LittleEndian.AppendUint64(nil, step)
		return errors.Join(os.WriteFile(path+".new", data, 0o600), os.Rename(path+".new", path+".position"))
	}
	s, err := NewSink(config(&logs{}, map[string]string{"path": path, "format": word}))
	if err != nil {
		return err
	}
	return s.Run(context.Background(), out)
}

// TestSinkKilled kills a process that writes a sink's file, again and again: when it
// has delivered all, the file is as one whose writer was never killed.
func TestSinkKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	for _, word := range []string{"json", "csv"} {
		dir := t.TempDir()
		whole, path := filepath.Join(dir, "whole"), filepath.Join(dir, "out")
		out := &conntest.Outlet{}
		for n := uint64(1); n <= killSteps; n++ {
			out.Add(n, killStep(n))
		}
		stop := start(limit(t), func(ctx context.Context) error { return sink(t, &logs{}, whole, word).Run(ctx, out) })
		if err := out.Wait(killSteps); err != nil {
			t.Fatal(err)
		}
		stop()
		want, _ := os.ReadFile(whole)

		rnd := rand.New(rand.NewPCG(11, 12))
		kills, delivered := 0, 0
		for deadline := time.Now().Add(2 * conntest.Timeout); kills < killRounds || delivered == 0; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not delivered after %d kills", word, kills)
			}
			var kill time.Duration
			if kills < killRounds {
				kill = time.Duration(5+rnd.IntN(60)) * time.Millisecond
			}
			switch said := runKilled(t, path, word, kill); said {
			case "":
				kills++
				if kills%5 == 0 {
					os.Remove(path + ".position") // what the file holds decides
				}
			case "delivered\n":
				delivered++
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s: after %d kills the file has %d bytes, want %d (%v)", word, kills, len(got), len(want), err)
				}
				os.Remove(path)
				os.Remove(path + ".position")
			default:
				t.Fatalf("%s: the sink says %s", word, said)
			}
		}
		t.Logf("%s: %d kills, delivered %d times", word, kills, delivered)
	}
}

// runKilled runs the sink in a process until it says something, or is killed; 0: it is not.
func runKilled(t *testing.T, path, word string, kill time.Duration) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedFile+"="+path, killedWord+"="+word)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if kill > 0 {
		defer time.AfterFunc(kill, func() { cmd.Process.Kill() }).Stop()
	}
	buf := make([]byte, 1000)
	n, _ := r.Read(buf)
	cmd.Process.Kill()
	cmd.Wait()
	return string(buf[:n])
}

// TestSinkAfterAPowerCut leaves zeros, and pieces of records, behind the last step
// that was synced and reported: they are cut off. What is no piece is left alone.
func TestSinkAfterAPowerCut(t *testing.T) {
	for _, word := range []string{"json", "csv"} {
		path := filepath.Join(t.TempDir(), "f")
		out := &conntest.Outlet{}
		out.Add(1, step("a", "b"))
		stop := start(limit(t), func(ctx context.Context) error { return sink(t, &logs{}, path, word).Run(ctx, out) })
		if err := out.Wait(1); err != nil {
			t.Fatal(err)
		}
		stop()
		good, _ := os.ReadFile(path)
		var large strings.Builder // a step of several megabytes whose beginning was not written
		large.WriteString("\x00\x00\n")
		for i := range 30 {
			if word == "csv" {
				fmt.Fprintf(&large, "2,%d,1,0,%s\n", i, strings.Repeat("x", 100_000))
			} else {
				fmt.Fprintf(&large, `{"_step":2,"_index":%d,"_weight":1,"a":0,"b":"%s"}`+"\n", i, strings.Repeat("x", 100_000))
			}
		}
		next := `{"_step":2,"_index":0,"_weight":1,"a":0,"b":"c"}` + "\n"
		if word == "csv" {
			next = "2,0,1,0,c\n"
		}
		for _, tail := range []string{
			string(make([]byte, 5000)) + "rest of a record\n" + next,
			next[:len(next)/2] + string(make([]byte, 4096)) + "\n" + next,
			large.String(),
			strings.Replace(next, "0", "9", 1), // a record without the one before it
		} {
			write(t, path, string(good)+tail)
			again := &conntest.Outlet{}
			again.Done(context.Background(), 1)
			again.Add(2, step("c"))
			stop := start(limit(t), func(ctx context.Context) error { return sink(t, &logs{}, path, word).Run(ctx, again) })
			if err := again.Wait(2); err != nil {
				t.Fatalf("%s %.100q: %v", word, tail, err)
			}
			stop()
			if got, _ := os.ReadFile(path); string(got) != string(good)+next {
				t.Errorf("%s %.100q: the file has %d bytes, want %q", word, tail, len(got), string(good)+next)
			}
		}
	}
}
