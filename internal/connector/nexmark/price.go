package nexmark

import "math"

// Prices are 100 * 10^(6u) cents for u evenly from [0, 1), rounded: between one
// dollar and a million. Powers are products of powers from tables, which are made
// with square roots and products alone, so every processor computes the same.
const (
	priceBits = 10 // of u, that each table covers
	priceSize = 1 << priceBits
)

// priceTables hold 10^(6u) for u = i/2^10 and for u = i/2^20.
type priceTables struct{ high, low [priceSize]float64 }

var prices = makePrices()

func makePrices() *priceTables {
	t := &priceTables{}
	root := 1e6 // 10^(6/2^k)
	var roots [2 * priceBits]float64
	for k := range roots {
		root = math.Sqrt(root)
		roots[k] = root
	}
	power := func(i int, roots []float64) float64 {
		p := 1.0
		for k, r := range roots {
			if i>>(priceBits-1-k)&1 != 0 {
				p *= r
			}
		}
		return p
	}
	for i := range priceSize {
		t.high[i], t.low[i] = power(i, roots[:priceBits]), power(i, roots[priceBits:])
	}
	return t
}

// logMillion is the natural logarithm of 10^6.
const logMillion = 13.815510557964274

// price returns a price for r, any 64 bits. What is left of u after the tables is
// below 2^-20, where 1 + u ln 10^6 is as good as the power.
func price(r uint64) int64 {
	rest := float64(r>>(64-3*priceBits)&(priceSize-1)) * (logMillion / (1 << (3 * priceBits)))
	p := prices.high[r>>(64-priceBits)] * prices.low[r>>(64-2*priceBits)&(priceSize-1)]
	return int64(float64(p*float64(100+float64(rest*100))) + 0.5)
}
