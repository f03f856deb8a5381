package fabric

// Header holds the headers of a message: each key, as written, with its values in order.
type Header map[string][]string

// Get returns the first value of key, or "".
func (h Header) Get(key string) string {
	if values := h[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}
