// Why this file exists: a core::Stream over a core::Stream that speaks TLS (wire/tls/tls_engine.h
// does the work), so that sessions do not know whether they are encrypted.
//
// The handshake happens inside the first read(); a write() waits for it, so whoever writes must
// also have a reader at work, as every Connection has. shutdown_write() ends the stream without the
// close_notify alert: HTTP/2 marks the end of everything itself, so nothing can be cut unnoticed.
#pragma once

#include <memory>
#include <string>

#include "core/env.h"
#include "wire/tls/tls_engine.h"

namespace capstan::wire {

// `host` as in TlsEngine. The context is kept alive by the engine.
std::unique_ptr<core::Stream> make_tls_stream(std::unique_ptr<core::Stream> stream,
                                              const TlsContext& context, std::string host);

}  // namespace capstan::wire
