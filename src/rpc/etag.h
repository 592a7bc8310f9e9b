// Why this file exists: what GET answers whole may carry a tag, by which a client that has it asks
// for it only if it has changed, or changes it only if it has not (rpc/condition.h; http-rpc
// section 17). The tag is of the answer's content and media type: the same content has the same
// tag, whenever and by whichever node it is told. No I/O. Thread-safety: plain functions.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "rpc/media.h"

namespace capstan::rpc {

// In quotes. `shape` tells answers apart that are made of the same message: what of it is the body.
std::string etag_of(const google::protobuf::Message& message, Media media, std::string_view shape);
// Whether a header names the tag: a list of tags, or "*". A weak tag (W/"…") counts in
// If-None-Match; in If-Match, which is about changing, it names nothing.
enum class Weak : std::uint8_t { kCounts, kNamesNothing };
bool etag_listed(std::string_view header, std::string_view tag, Weak weak = Weak::kCounts);

}  // namespace capstan::rpc
