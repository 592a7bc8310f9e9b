// Why this file exists: what a node serves by path, as `capstan rpc list` prints it: services with
// what they are for, those below one step together, then the types of arguments. It comes from the
// node's description of itself (http-rpc section 13.2) or, on wires without paths, from its list of
// operations. The form is that of http-rpc section 14.2. No I/O.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/node.pb.h"

namespace capstan::apps {

struct ListedService {
  std::string method;             // empty: a part that is resolved when it is asked for
  std::vector<std::string> path;  // "pools", "<pool_id>", "<key>*"
  std::string description;
};

struct ServiceList {
  std::vector<ListedService> services;
  std::map<std::string, std::string> arguments;  // their types, with what they are for
};

// kInternal: `json` is no description.
Result<ServiceList> read_description(std::string_view json);
// What is below `steps` of them: "pools", "p1".
ServiceList list_operations(const node::v1::DescribeOperationsResponse& operations,
                            const std::vector<std::string>& steps);
// `depth`: how many steps lead to what is listed. Without a line end.
std::string service_text(const ServiceList& list, std::size_t depth);

// A text in lines of at most 80 characters where it has blanks, each behind so many of them.
std::string wrapped(std::string_view text, std::size_t indent);

}  // namespace capstan::apps
