// Why this file exists: metadata between HTTP/2 headers and name/value pairs: which headers are the
// application's, and the base64 of "-bin" keys. Used by both halves of the protocol.
#pragma once

#include <forward_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "wire/http2/http2_session.h"

namespace capstan::wire {

using MetadataList = std::vector<std::pair<std::string, std::string>>;

// Headers of the protocol itself are not metadata.
bool grpc_is_reserved(std::string_view name);
// Appends one received header; binary values are decoded (a comma joins several of them).
Result<void> grpc_add_metadata(std::string_view name, std::string_view value, MetadataList& to);

// Headers to send, with the memory of what had to be encoded for them.
class HeaderBuilder {
 public:
  HeaderBuilder() { headers_.reserve(12); }
  void add(std::string_view name, std::string_view value) { headers_.push_back({name, value}); }
  void add_owned(std::string_view name, std::string value) {
    owned_.push_front(std::move(value));
    add(name, owned_.front());
  }
  // `metadata` must outlive the builder. What HTTP/2 could not carry, and names that belong to the
  // protocol, are left out; "grpc-status-details-bin" is the application's.
  void add_metadata(const MetadataList& metadata);
  Headers headers() const { return headers_; }

 private:
  std::vector<Header> headers_;
  std::forward_list<std::string> owned_;
};

// The trace id of a W3C traceparent header; empty when it is malformed.
std::string_view trace_id_of(std::string_view traceparent);

}  // namespace capstan::wire
