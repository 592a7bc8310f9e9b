// Why this file exists: the tables behind error_map.h (gRPC: http-grpc-status-mapping and the table
// "HTTP2 error to status" of its HTTP/2 protocol description).
#include "wire/grpc/error_map.h"

#include <array>

#include "rpc/error_text.h"
#include "wire/grpc/grpc_codec.h"

namespace capstan::wire {

static constexpr std::array<std::string_view, 17> kStatusTexts = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

std::string_view grpc_status_text(Code code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kStatusTexts.size() ? kStatusTexts[index] : kStatusTexts[2];
}

std::string grpc_status_message(const Error& error) {
  return grpc_encode_message(rpc::error_text(error));
}

Code grpc_status_code(std::string_view text) {
  for (std::size_t i = 0; i < kStatusTexts.size(); ++i) {
    if (kStatusTexts[i] == text) return static_cast<Code>(i);
  }
  return Code::kUnknown;
}

Code grpc_code_of_http_status(std::string_view status) {
  if (status == "400") return Code::kInternal;
  if (status == "401") return Code::kUnauthenticated;
  if (status == "403") return Code::kPermissionDenied;
  if (status == "404") return Code::kUnimplemented;
  if (status == "429" || status == "502" || status == "503" || status == "504") {
    return Code::kUnavailable;
  }
  return Code::kUnknown;
}

Code grpc_code_of_http2_error(Http2Error error) {
  switch (error) {
    case Http2Error::kRefusedStream: return Code::kUnavailable;
    case Http2Error::kCancel: return Code::kCancelled;
    case Http2Error::kEnhanceYourCalm: return Code::kResourceExhausted;
    case Http2Error::kInadequateSecurity: return Code::kPermissionDenied;
    case Http2Error::kHttp11Required: return Code::kUnknown;
    default: return Code::kInternal;
  }
}

}  // namespace capstan::wire
