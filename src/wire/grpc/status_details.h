// Why this file exists: an error's structured parts as gRPC carries them: a google.rpc.Status in
// the trailer grpc-status-details-bin, beside grpc-status and grpc-message, which say the same in
// fewer words. Clients that do not know the trailer lose nothing.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::wire {

inline constexpr std::string_view kStatusDetailsKey = "grpc-status-details-bin";
// Of the trailer as sent, in base64: with grpc-message and the rest it stays below the 8 KiB of
// headers that official clients accept.
inline constexpr std::size_t kStatusDetailsBytes = 3072;

// The trailer's value, not yet in base64; empty when it would be too large even without the parts
// that are left out first (facts, then fields). `message` is what grpc-message says: clients refuse
// a Status that says something else. `operation` and `request`, whose name and uuid are told, may
// be empty and null.
std::string grpc_status_details(const Error& error, std::string_view message,
                                std::string_view operation,
                                const google::protobuf::Message* request);

// What a peer's trailer says, null when it says nothing that ErrorDetails can hold.
std::shared_ptr<const ErrorDetails> grpc_read_status_details(std::string_view bytes, Code code);

}  // namespace capstan::wire
