// Why this file exists: the one place where gRPC's statuses and ours meet: Error to grpc-status and
// grpc-message, and back from whatever a peer answered with (status, HTTP status, HTTP/2 error).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/http2/http2_session.h"

namespace capstan::wire {

// "5" for kNotFound: the value of grpc-status.
std::string_view grpc_status_text(Code code);
// The value of grpc-message: the error's whole text, cut to kErrorMessageBytes, percent-encoded.
std::string grpc_status_message(const Error& error);
// What a peer's grpc-status says; unknown numbers and garbage are kUnknown.
Code grpc_status_code(std::string_view text);
// An answer without grpc-status, from something that does not speak gRPC (a proxy).
Code grpc_code_of_http_status(std::string_view status);
// A stream that ended with an HTTP/2 error instead of a status.
Code grpc_code_of_http2_error(Http2Error error);

}  // namespace capstan::wire
