// Why this file exists: the tables behind error_map.h (gRPC: http-grpc-status-mapping and the table
// "HTTP2 error to status" of its HTTP/2 protocol description).
#include "wire/grpc/error_map.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "rpc/error_text.h"
#include "wire/grpc/grpc_codec.h"

namespace capstan::wire {

static constexpr std::array<std::string_view, 17> kStatusTexts = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

std::string_view grpc_status_text(Code code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kStatusTexts.size() ? kStatusTexts[index] : kStatusTexts[2];
}

// Escapes triple the length of a text, and official clients refuse answers with more than 8 KiB of
// headers: they would report that in place of the error.
std::string grpc_status_message(const Error& error) {
  constexpr std::string_view kMore = "...";
  const std::string text = rpc::error_text(error);
  std::string encoded = grpc_encode_message(text);
  if (encoded.size() <= limits::kGrpcStatusMessageBytes) return encoded;
  std::size_t end = 0;
  encoded.clear();
  while (end < text.size()) {
    const std::string_view rest = std::string_view(text).substr(end);
    const std::string next =
        grpc_encode_message(rest.substr(0, std::max<std::size_t>(rpc::utf8_character(rest), 1)));
    if (encoded.size() + next.size() + kMore.size() > limits::kGrpcStatusMessageBytes) break;
    encoded += next;
    end += std::max<std::size_t>(rpc::utf8_character(rest), 1);
  }
  return encoded.append(kMore);
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
