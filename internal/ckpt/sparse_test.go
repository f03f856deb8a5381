package ckpt

import "testing"

// TestRewritesAreBounded has more garbage than one checkpoint may clear away.
func TestRewritesAreBounded(t *testing.T) {
	const packBytes = 64 << 20
	var packs []Pack
	for i := range uint32(100) {
		// The later, the more of a pack is in use: from none to half, less a little.
		packs = append(packs, Pack{Number: i + 1, SizeBytes: packBytes, LiveBytes: int64(i) * (packBytes / 2) / 101})
	}
	var sum int64
	chosen := rewrites(packs, packBytes)
	for i, p := range packs {
		if chosen[p.Number] {
			sum += p.LiveBytes
		}
		if i > 0 && chosen[p.Number] && !chosen[p.Number-1] {
			t.Errorf("pack %d is chosen before one with more garbage", p.Number)
		}
	}
	if sum > rewriteBytes || sum < rewriteBytes*9/10 {
		t.Errorf("%d bytes of %d are written again", sum, rewriteBytes)
	}
	// One pack is always done, however large.
	if got := rewrites([]Pack{{Number: 1, SizeBytes: 1 << 40, LiveBytes: 1 << 38}}, packBytes); !got[1] {
		t.Error("a pack larger than the bound is never written again")
	}
	// With much in use the bound grows with it.
	for i := range uint32(1000) {
		packs = append(packs, Pack{Number: i + 101, SizeBytes: packBytes, LiveBytes: packBytes})
	}
	if got := rewrites(packs, packBytes); len(got) != 100 {
		t.Errorf("%d of 100 packs are written again among 64 GB", len(got))
	}
}
