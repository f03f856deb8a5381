package types_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

var (
	sinkDec   types.Decimal
	sinkInt   int64
	sinkHash  uint64
	sinkBytes []byte
)

func BenchmarkDecAdd(b *testing.B) {
	x, _ := dec(b, "12345.67")
	y, _ := dec(b, "89.10")
	z, _ := dec(b, "0.125")
	b.Run("same scale", func(b *testing.B) {
		s := x
		for b.Loop() {
			d, ok := types.DecAddFast(s, y)
			if !ok {
				b.Fatal()
			}
			s = d
		}
		sinkDec = s
	})
	b.Run("other scale", func(b *testing.B) {
		var arena []byte
		for b.Loop() {
			sinkDec, _ = types.DecAdd(x, nil, z, nil, &arena)
		}
	})
}

func BenchmarkDecMul(b *testing.B) {
	x, _ := dec(b, "12345.67")
	y, _ := dec(b, "89.10")
	var arena []byte
	for b.Loop() {
		sinkDec, _ = types.DecMul(x, nil, y, nil, &arena)
	}
}

func BenchmarkDecDiv(b *testing.B) {
	x, _ := dec(b, "12345.67")
	y, _ := dec(b, "89.10")
	var arena []byte
	for b.Loop() {
		sinkDec, _ = types.DecDiv(x, nil, y, nil, &arena)
	}
}

func BenchmarkHashDec(b *testing.B) {
	x, _ := dec(b, "12345.60")
	for b.Loop() {
		sinkHash += types.HashDec(x, nil)
	}
}

func BenchmarkAppend(b *testing.B) {
	d, _ := dec(b, "12345.67")
	x := mustParse(b, types.Timestamp, "2001-02-03 04:05:06.789").I
	st := types.Style{}
	buf := make([]byte, 0, 64)
	run := func(name string, f func(dst []byte) []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = f(buf[:0])
			}
		})
	}
	run("int", func(dst []byte) []byte { return types.AppendInt(dst, 1234567890) })
	run("float8", func(dst []byte) []byte { return types.AppendFloat8(dst, 1234.5678) })
	run("decimal", func(dst []byte) []byte { return types.AppendDecimal(dst, d, nil) })
	run("timestamp", func(dst []byte) []byte { return types.AppendTimestamp(dst, x, &st) })
	sinkBytes = buf
}

func BenchmarkParse(b *testing.B) {
	ts, i, f, d := []byte("2001-02-03T04:05:06.789Z"), []byte("1234567890"), []byte("1234.5678"), []byte("12345.67")
	b.Run("timestamp", func(b *testing.B) {
		for b.Loop() {
			x, _ := types.ParseTimestampBytes(ts)
			sinkInt += x
		}
	})
	b.Run("int", func(b *testing.B) {
		for b.Loop() {
			x, _ := types.ParseIntBytes(i)
			sinkInt += x
		}
	})
	b.Run("float", func(b *testing.B) {
		for b.Loop() {
			x, _ := types.ParseFloatBytes(f)
			sinkInt += int64(x)
		}
	})
	b.Run("decimal", func(b *testing.B) {
		for b.Loop() {
			sinkDec, _ = types.ParseDecimalBytes(d)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for _, n := range []int{4, 8, 16, 32, 100, 1000} {
		data := make([]byte, n)
		b.Run("bytes "+string(types.AppendInt(nil, int64(n))), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				sinkHash += types.HashBytes(data)
			}
		})
	}
	b.Run("int", func(b *testing.B) {
		x := int64(0)
		for b.Loop() {
			x++
			sinkHash += types.HashInt(x)
		}
	})
}
