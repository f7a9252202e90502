package notice

// SetLimit bounds the bytes of rendered answers that b keeps.
func (b *Book) SetLimit(bytes int64) { b.limit = bytes }

// Kept returns the bytes of rendered answers that b keeps.
func (b *Book) Kept() int64 { return b.kept.Load() }

// MarketLanguages is marketLanguages, and LanguagesOf its table.
var (
	MarketLanguages = marketLanguages
	LanguagesOf     = languagesOf
)
