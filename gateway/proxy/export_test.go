package proxy

// ByTransportOnly makes the app take the long way for simple requests, too.
func (a *App) ByTransportOnly() { a.plain = false }
