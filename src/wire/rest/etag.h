// Why this file exists: what GET answers whole may carry a tag, by which a client that has it asks
// for it only if it has changed (http-rpc section 17). The tag is of the answer's content and media
// type: the same content has the same tag, whenever and by whichever node it is told.
// No I/O. Thread-safety: plain functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "rpc/media.h"

namespace capstan::wire::rest {

// In quotes. `shape` tells answers apart that are made of the same message: what of it is the body.
std::string etag_of(const google::protobuf::Message& message, rpc::Media media,
                    std::string_view shape);
// Whether an If-None-Match header names the tag: a list of tags, weak ones too, or "*".
bool etag_listed(std::string_view header, std::string_view tag);

}  // namespace capstan::wire::rest
