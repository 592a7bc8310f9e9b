// Why this file exists: which of the node's media types a request is in and its answer will be in,
// from Content-Type and Accept (http-rpc sections 7.1 to 7.3). The order of what is offered is the
// node's preference; its first one is for requests that name none.
// No I/O. Thread-safety: plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/media.h"

namespace capstan::wire::rest {

using MediaTypes = std::vector<rpc::Media>;

// "any", "json", "binary": what --media-type takes.
Result<MediaTypes> media_preference(std::string_view name);
// "application/json, application/bson": the body of a 406.
std::string media_list(const MediaTypes& offered);

// Nothing: none of them is acceptable (406). `accept` is all values joined with commas, or nothing
// when the header is absent; q=0 excludes, and what is no list of types accepts nothing.
std::optional<rpc::Media> negotiate(std::optional<std::string_view> accept,
                                    const MediaTypes& offered);
// Nothing: unknown (415). Parameters do not count.
std::optional<rpc::Media> request_media(std::optional<std::string_view> content_type,
                                        const MediaTypes& offered);
// "application/json; charset=x" without its parameters, in lower case.
std::string media_essence(std::string_view text);

}  // namespace capstan::wire::rest
