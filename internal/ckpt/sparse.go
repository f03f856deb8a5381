package ckpt

import (
	"cmp"
	"slices"
)

const (
	// A pack is sparse when less than sparseNum/sparseDen of it is in use.
	sparseNum, sparseDen = 1, 2

	// rewriteBytes is how much of sparse packs one checkpoint writes again, or
	// 1/rewriteShare of all that is in use if that is more. The rest waits for the next,
	// so that one checkpoint is not much longer than others.
	rewriteBytes = 256 << 20
	rewriteShare = 8

	// A pack below 1/smallShare of where packs are cut is small. When there are more
	// than maxSmallPacks of them, all are written again as one, so that the number of
	// packs does not grow with the number of checkpoints.
	smallShare    = 8
	maxSmallPacks = 32
)

// rewrites chooses the packs whose records the next checkpoint should write again.
func rewrites(packs []Pack, packBytes int64) map[uint32]bool {
	chosen := make(map[uint32]bool)
	var small, sparse []Pack
	var live int64
	for _, p := range packs {
		live += p.LiveBytes
		if p.SizeBytes < packBytes/smallShare {
			small = append(small, p)
		} else if p.LiveBytes*sparseDen < p.SizeBytes*sparseNum {
			sparse = append(sparse, p)
		}
	}
	if len(small) > maxSmallPacks {
		for _, p := range small {
			chosen[p.Number] = true
		}
	}
	// Those that give back most for what has to be written come first.
	slices.SortFunc(sparse, func(a, b Pack) int {
		return cmp.Or(cmp.Compare(float64(a.LiveBytes)/float64(a.SizeBytes), float64(b.LiveBytes)/float64(b.SizeBytes)),
			cmp.Compare(a.Number, b.Number))
	})
	budget := max(rewriteBytes, live/rewriteShare)
	for i, p := range sparse {
		if budget -= p.LiveBytes; budget < 0 && i > 0 {
			break
		}
		chosen[p.Number] = true
	}
	return chosen
}
