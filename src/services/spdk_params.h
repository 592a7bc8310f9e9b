// Why this file exists: what proto3 cannot say about parameters: which of them must be there, and
// which texts one may be. Refusals are -32602 and name method and member. Parameters that ask for
// what the engine does not have (metadata, protection information) are refused too, never ignored.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/uuid.h"
#include "rpc/directory.h"

namespace capstan::services {

Result<void> require(const rpc::Call& call, const rpc::Message& request,
                     std::initializer_list<std::string_view> members);
// -32602 for a text that is none of `known`.
Result<void> require_one_of(const rpc::Call& call, std::string_view member, std::string_view value,
                            std::initializer_list<std::string_view> known);
// -32602 for a text that is no UUID; nothing when `given` is empty.
Result<std::optional<Uuid>> uuid_param(const rpc::Call& call, std::string_view given);
// -95 when the member is set to something else than zero, false or nothing.
Result<void> refuse_unsupported(const rpc::Call& call, const rpc::Message& request,
                                std::initializer_list<std::string_view> members);

}  // namespace capstan::services
