package notice

// SetLimit bounds the bytes of rendered responses that s caches.
func (s *Set) SetLimit(bytes int64) { s.limit = bytes }

// Cached returns the bytes of rendered responses that s caches.
func (s *Set) Cached() int64 { return s.cached.Load() }

// MarketLanguages is marketLanguages, and LanguagesOf its table.
var (
	MarketLanguages = marketLanguages
	LanguagesOf     = languagesOf()
)
