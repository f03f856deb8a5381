package shell

import "strings"

// Split cuts text into statements at the semicolons that stand outside of quotes
// and comments. Each keeps its semicolon; what holds no statement is left out.
func Split(text string) []string {
	var out []string
	for text != "" {
		end, ok := statementEnd(text)
		stmt := text[:end]
		text = text[end:]
		if !blank(stmt) {
			out = append(out, stmt)
		}
		if !ok {
			break
		}
	}
	return out
}

// Complete reports whether text ends with a finished statement.
func Complete(text string) bool {
	for text != "" {
		end, ok := statementEnd(text)
		if !ok {
			return blank(text[:end])
		}
		text = text[end:]
	}
	return true
}

// statementEnd returns where the first statement of text ends, past its semicolon,
// and whether there was one.
func statementEnd(text string) (end int, ok bool) {
	depth := 0 // of parentheses, inside which psql does not split either
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ';' && depth == 0:
			return i + 1, true
		case c == '(':
			depth++
			i++
		case c == ')':
			depth = max(0, depth-1)
			i++
		default:
			i += token(text[i:])
		}
	}
	return len(text), false
}

// token returns the length of the comment or quoted text that s begins with, or 1.
func token(s string) int {
	switch {
	case strings.HasPrefix(s, "--"):
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			return i + 1
		}
		return len(s)
	case strings.HasPrefix(s, "/*"):
		return blockComment(s)
	case s[0] == '\'' || s[0] == '"':
		return quoted(s, s[0], false)
	case (s[0] == 'e' || s[0] == 'E') && len(s) > 1 && s[1] == '\'':
		return 1 + quoted(s[1:], '\'', true)
	case s[0] == '$':
		return dollarQuoted(s)
	case wordByte(s[0]):
		n := 1 // a whole word, so that an E or $ inside it starts nothing
		for n < len(s) && (wordByte(s[n]) || s[n] == '$' || s[n] >= '0' && s[n] <= '9') {
			n++
		}
		return n
	}
	return 1
}

func wordByte(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

func blockComment(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); {
		switch s[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

func quoted(s string, q byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return len(s)
}

func dollarQuoted(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 1
	}
	tag := s[:end+2]
	for i := 1; i < len(tag)-1; i++ {
		if !wordByte(tag[i]) && (i == 1 || tag[i] < '0' || tag[i] > '9') {
			return 1
		}
	}
	if i := strings.Index(s[len(tag):], tag); i >= 0 {
		return len(tag) + i + len(tag)
	}
	return len(s)
}

// blank reports whether text holds nothing but space, comments and semicolons.
func blank(text string) bool {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\n', '\r', '\f', ';':
			i++
			continue
		}
		if !strings.HasPrefix(text[i:], "--") && !strings.HasPrefix(text[i:], "/*") {
			return false
		}
		i += token(text[i:])
	}
	return true
}
