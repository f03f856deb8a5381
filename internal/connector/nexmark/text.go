package nexmark

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/batch"
)

// Texts of the specification.
const (
	minString    = 3  // characters of a random string, before it is trimmed
	oneIsASpace  = 13 // of so many characters
	itemLength   = 20
	textLength   = 100
	mailLength   = 7
	domainLength = 5
	channelCount = 10_000
	dirLength    = 5 // of the parts of a URL
	idOneIn      = 10
	urlStart     = "https://www.nexmark.com/"
	urlEnd       = "item.htm?query=1"
	channelID    = "&channel_id="
	// urlSeed makes the URLs of channels, which are the same for every seed.
	urlSeed = 0x6e65786d61726b
	// maxText is room for a person's or item's text without the extra one.
	maxText = 256
)

var hotChannels = [...]string{"Google", "Facebook", "Baidu", "Apple"}

// text makes texts.
type text struct {
	c *config
	// urls holds the URLs of the hot channels, and then of the others: the i-th is
	// urls[at[i]:at[i+1]].
	urls []byte
	at   []uint32
	// longest of the lists of words
	longestFirst, longestLast, longestCity, longestState int
}

func newText(c *config) text {
	return text{c: c, longestFirst: longest(c.firstNames), longestLast: longest(c.lastNames), longestCity: longest(c.cities), longestState: longest(c.states)}
}

func longest(words []string) int {
	n := 0
	for _, w := range words {
		n = max(n, len(w))
	}
	return n
}

// maxLen returns how many bytes a text of a has at most, 0 if a is no text.
func (t *text) maxLen(a attr) int {
	switch a {
	case personName:
		return t.longestFirst + 1 + t.longestLast
	case personEmail:
		return mailLength + 1 + domainLength + 4
	case personCard:
		return 19
	case personCity:
		return t.longestCity
	case personState:
		return t.longestState
	case auctionItem:
		return itemLength
	case auctionDescription:
		return textLength
	case bidChannel:
		return 12
	case bidURL:
		return len(urlStart) + 3*(dirLength+1) + len(urlEnd) + len(channelID) + 10
	case personExtra:
		return max(t.c.personBytes*3/2, 1)
	case auctionExtra:
		return max(t.c.auctionBytes*3/2, 1)
	case bidExtra:
		return max(t.c.bidBytes*3/2, 1)
	}
	return 0
}

// texts appends the texts of rows [lo, hi) of c.
func (g *column) texts(s *Source, c *chunk, lo, hi int, dst *batch.Column) {
	t, channels := &s.text, salt(s.seed, bidChannel)
	dst.Str = slices.Grow(dst.Str, hi-lo)
	for _, e := range c.event[lo:hi] {
		from := len(dst.Bytes)
		switch g.attr {
		case bidExtra: // 8+8+8+8 bytes of other columns
			dst.Bytes = extra(dst.Bytes, g.random(e), s.bidBytes-32)
		case bidChannel:
			dst.Bytes = t.channel(dst.Bytes, g.random(e))
		case bidURL: // drawn as the channel is
			dst.Bytes = t.url(dst.Bytes, mix(channels+e*golden))
		default:
			dst.Bytes = s.rare(dst.Bytes, g.attr, e)
		}
		dst.Str = append(dst.Str, batch.Ref{Off: uint32(from), Len: uint32(len(dst.Bytes) - from)})
	}
}

// rare appends a text of a person or an auction.
func (s *Source) rare(dst []byte, a attr, e uint64) []byte {
	switch a {
	case personExtra:
		return extra(dst, s.random(a, e), s.personBytes-8-s.size(e, personName, personState))
	case auctionExtra:
		return extra(dst, s.random(a, e), s.auctionBytes-48-s.size(e, auctionItem, auctionDescription))
	}
	return s.proper(dst, a, e)
}

// random returns the randomness of event e for a.
func (s *Source) random(a attr, e uint64) uint64 { return mix(salt(s.seed, a) + e*golden) }

// proper appends what rare does, but for the extra texts, whose length depends on it.
func (s *Source) proper(dst []byte, a attr, e uint64) []byte {
	r := s.random(a, e)
	switch a {
	case personName:
		i, r := draw(r, uint64(len(s.firstNames)))
		k, _ := draw(r, uint64(len(s.lastNames)))
		return append(append(append(dst, s.firstNames[i]...), ' '), s.lastNames[k]...)
	case personEmail:
		dst = append(phrase(dst, r, mailLength, ' '), '@')
		return append(phrase(dst, mix(r), domainLength, ' '), ".com"...)
	case personCard:
		for k := range 4 {
			if k > 0 {
				dst = append(dst, ' ')
			}
			var n uint64
			n, r = draw(r, 10_000)
			dst = append(dst, '0'+byte(n/1000), '0'+byte(n/100%10), '0'+byte(n/10%10), '0'+byte(n%10))
		}
		return dst
	case personCity:
		i, _ := draw(r, uint64(len(s.cities)))
		return append(dst, s.cities[i]...)
	case personState:
		i, _ := draw(r, uint64(len(s.states)))
		return append(dst, s.states[i]...)
	case auctionItem:
		return phrase(dst, r, itemLength, ' ')
	case auctionDescription:
		return phrase(dst, r, textLength, ' ')
	}
	return dst
}

// size returns how many bytes the texts of e from first to last have.
func (s *Source) size(e uint64, first, last attr) int {
	var buf [maxText]byte
	out := buf[:0]
	for a := first; a <= last; a++ {
		out = s.proper(out, a, e)
	}
	return len(out)
}

// phrase appends a random string of up to limit-1 characters, with a space in place
// of one in oneIsASpace, and without spaces at its ends.
func phrase(dst []byte, r uint64, limit int, space byte) []byte {
	n, r := draw(r, uint64(limit-minString))
	from := len(dst)
	for left := int(n) + minString; left > 0; left-- {
		var k uint64
		if left%4 == 0 {
			r = mix(r + golden)
		}
		if k, r = draw(r, oneIsASpace*26); k < 26 {
			dst = append(dst, space)
			continue
		}
		dst = append(dst, 'a'+byte(k%26))
	}
	if space != ' ' {
		return dst
	}
	to := len(dst)
	for to > from && dst[to-1] == ' ' {
		to--
	}
	start := from
	for start < to && dst[start] == ' ' {
		start++
	}
	return dst[:from+copy(dst[from:], dst[start:to])]
}

// extra appends letters, average many on average: within a fifth of it.
func extra(dst []byte, r uint64, average int) []byte {
	if average < 0 {
		return dst
	}
	delta := (2*average + 5) / 10 // a fifth, rounded
	n := average - delta
	if delta > 0 {
		var more uint64
		more, r = draw(r, uint64(2*delta))
		n += int(more)
	}
	from := len(dst)
	dst = slices.Grow(dst, n+8)[:from+n+8]
	for at := from; at < from+n; at += 8 {
		r += golden
		binary.LittleEndian.PutUint64(dst[at:], letters(mix(r)))
	}
	return dst[:from+n]
}

// letters maps each byte of r to a letter: b*26/256 is from 0 to 25.
func letters(r uint64) uint64 {
	const even = 0x00ff00ff00ff00ff
	return 0x6161616161616161 + ((r&even)*26>>8&even | (r>>8&even)*26&^even)
}

func (t *text) channel(dst []byte, r uint64) []byte {
	i := t.draw(r)
	if i < len(hotChannels) {
		return append(dst, hotChannels[i]...)
	}
	return strconv.AppendInt(append(dst, "channel-"...), int64(i-len(hotChannels)), 10)
}

// draw returns which channel a bid came by: hot ones first.
func (t *text) draw(r uint64) int {
	which, r := draw(r, t.c.hotChannel)
	if which > 0 {
		i, _ := draw(r, uint64(len(hotChannels)))
		return int(i)
	}
	i, _ := draw(r, channelCount)
	return len(hotChannels) + int(i)
}

func (t *text) url(dst []byte, r uint64) []byte {
	i := t.draw(r)
	return append(dst, t.urls[t.at[i]:t.at[i+1]]...)
}

// makeURLs makes the URL of every channel. Nine in ten of those that are not hot
// name the channel by the bits of its number in reverse.
func (t *text) makeURLs() {
	r := uint64(urlSeed)
	t.at = append(t.at, 0)
	for i := range len(hotChannels) + channelCount {
		t.urls = append(t.urls, urlStart...)
		for range 3 {
			r = mix(r + golden)
			t.urls = append(phrase(t.urls, r, dirLength, '_'), '/')
		}
		t.urls = append(t.urls, urlEnd...)
		r = mix(r + golden)
		if without, _ := draw(r, idOneIn); i >= len(hotChannels) && without > 0 {
			id := int64(int32(bits.Reverse32(uint32(i - len(hotChannels)))))
			t.urls = strconv.AppendInt(append(t.urls, channelID...), max(id, -id), 10)
		}
		t.at = append(t.at, uint32(len(t.urls)))
	}
}
