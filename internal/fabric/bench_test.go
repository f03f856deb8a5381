package fabric

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var benchSizes = []int{200, 4 << 10, 64 << 10}

func BenchmarkAppendOne(b *testing.B) {
	for _, sizeBytes := range benchSizes {
		b.Run(fmt.Sprint(sizeBytes), func(b *testing.B) {
			log, recs := openLog(b, start(b), "l"), [][]byte{make([]byte, sizeBytes)}
			b.SetBytes(int64(sizeBytes))
			b.ResetTimer()
			for i := range b.N {
				if _, err := log.Append(context.Background(), recs, uint64(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	for _, count := range []int{2, 100} {
		for _, sizeBytes := range benchSizes {
			b.Run(fmt.Sprintf("%dx%d", count, sizeBytes), func(b *testing.B) {
				log, recs := openLog(b, start(b), "l"), make([][]byte, count)
				for i := range recs {
					recs[i] = make([]byte, sizeBytes)
				}
				b.SetBytes(int64(sizeBytes * len(recs)))
				b.ResetTimer()
				for i := range b.N {
					if _, err := log.Append(context.Background(), recs, uint64(i*len(recs))); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAppendWindow(b *testing.B) {
	for _, sizeBytes := range benchSizes {
		b.Run(fmt.Sprint(sizeBytes), func(b *testing.B) {
			ctx, log, rec := context.Background(), openLog(b, start(b), "l"), make([]byte, sizeBytes)
			a, err := log.StartAppender(ctx, AppenderConfig{OnResult: func(r AppendResult) {
				if r.Err != nil {
					b.Error(r.Err)
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(sizeBytes))
			b.ResetTimer()
			for range b.N {
				if err := a.Append(ctx, 0, rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := a.Close(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, sizeBytes := range benchSizes {
		b.Run(fmt.Sprint(sizeBytes), func(b *testing.B) {
			const count = 2000
			ctx, log, recs := context.Background(), openLog(b, start(b), "l"), make([][]byte, 500)
			for i := range recs {
				recs[i] = make([]byte, sizeBytes)
			}
			for i := 0; i < count; i += len(recs) {
				if _, err := log.Append(ctx, recs, uint64(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(sizeBytes * count))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				got := 0
				if err := log.Read(ctx, 1, func(Record) error { got++; return nil }); err != nil || got != count {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkStart measures from nothing to a log that is open, and the resident memory that one more server takes.
func BenchmarkStart(b *testing.B) {
	ctx, dir := context.Background(), b.TempDir()
	before := residentBytes()
	var inUse int64
	for i := range b.N {
		began := time.Now()
		f, err := Start(ctx, Config{Dir: filepath.Join(dir, fmt.Sprint(i)), Listen: "127.0.0.1:0"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds()), "us-last-start")
		openLog(b, f, "l")
		if i == 0 {
			inUse = residentBytes() - before
		}
		f.Close(ctx)
	}
	b.ReportMetric(float64(inUse)/(1<<20), "MB-resident")
}

// residentBytes returns the resident memory of this process, 0 where the system does not tell.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
