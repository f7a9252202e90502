package accesslog

import "time"

// RoundUp is roundUp.
var RoundUp = roundUp

// SetFlushTime sets how long Close waits.
func (l *Log) SetFlushTime(d time.Duration) { l.flush = d }
