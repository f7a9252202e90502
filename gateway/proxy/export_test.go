package proxy

// ByTransportOnly makes simple requests go by a transport, too.
func (a *App) ByTransportOnly() { a.http1 = false }
