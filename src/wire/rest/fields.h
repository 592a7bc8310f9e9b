// Why this file exists: text from a path or a query as a field of a request. The words are those of
// http-rpc section 2.2: integers also as 0x, 0o, 0b; truth as yes, true, t, y, no, false, f, n in
// any case of letters, and "" for true; floats also in hexadecimal (0x1.8p3); enumerations by name
// or number; google.protobuf's wrappers as what they wrap, Timestamp and Duration as in JSON; bytes
// and strings as they are.
#pragma once

#include <google/protobuf/message.h>

#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/directory.h"
#include "rpc/http_binding.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

// Whether `text` is a value of the field; kInvalidArgument says what it should be.
Result<void> check_text(const google::protobuf::FieldDescriptor& field, std::string_view text);
// Sets the field, or adds to a repeated one.
Result<void> set_text(rpc::Message& message, const rpc::FieldPath& path, std::string_view text);

// Whether `text` may be an argument of the type, as the directory of http-rpc section 20.4 defines
// them: pool_id is a name, the ids of replicas, nexuses, snapshots and clones are UUIDs, a key has
// 1 to 65535 bytes. Types that it does not know take everything.
Result<void> check_argument(std::string_view type, std::string_view text);

// A field that the query may name.
struct QueryField {
  std::string name;        // "query.replica", or the json_name that its declaration gives
  std::string short_name;  // "replica" when no other field has it and `name` is another, else empty
  rpc::FieldPath path;
};
std::vector<QueryField> query_fields_of(const rpc::HttpBinding& binding,
                                        const std::vector<rpc::FieldPath>& paths);
// A flag of what is no operation: not there is false.
Result<bool> read_flag(const QueryFields& query, std::string_view name);
// Names that nobody declared are ignored; a field that takes one value and gets two is an error.
Result<void> read_query(const QueryFields& query, const std::vector<QueryField>& fields,
                        rpc::Message& into);

}  // namespace capstan::wire::rest
