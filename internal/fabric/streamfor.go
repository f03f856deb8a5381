package fabric

import (
	"context"
	"fmt"
)

// StreamFor returns the name of the client account's stream that takes messages published to subject. Returns
// ErrNotFound if there is none.
func (f *Fabric) StreamFor(ctx context.Context, subject string) (string, error) {
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	name, err := f.clientJS.StreamNameBySubject(ctx, subject)
	if err != nil {
		return "", fmt.Errorf("find the stream of subject %q: %w", subject, f.orClosed(notFound(err)))
	}
	return name, nil
}
