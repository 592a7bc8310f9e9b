// Why this file exists: the words of conflicts between two paths, which the same are whether a path
// is registered (rest/tree.cc) or two trees are merged (rest/tree_merge.cc). The first word is the
// kind: service, directory, builder, tail, type, types, dynamic-description (http-rpc section 3.4).
// `at` is the place from the root on, empty for the root itself.
#pragma once

#include <string>

#include "base/result.h"

namespace capstan::wire::rest {

inline std::unexpected<Error> conflict(const std::string& what, const std::string& at) {
  return fail(Code::kAlreadyExists, what + " in " + (at.empty() ? "/" : at));
}

inline std::unexpected<Error> builder_conflict(const std::string& at) {
  return conflict("builder conflict: all of it is dynamic", at);
}

inline std::unexpected<Error> tail_conflict(const std::string& type, const std::string& at) {
  return conflict("tail conflict: <" + type + "...> takes everything", at);
}

inline std::unexpected<Error> types_conflict(const std::string& found, const std::string& expected,
                                             const std::string& at) {
  return conflict("types conflict: found <" + found + ">, expected <" + expected + ">", at);
}

// `literals`: a map from names.
template <class Literals>
std::unexpected<Error> literals_conflict(const std::string& argument, const Literals& literals,
                                         const std::string& at) {
  std::string names;
  for (const auto& [name, child] : literals) names += (names.empty() ? "" : ", ") + name;
  return conflict("type conflict: argument <" + argument + "> beside the literals {" + names + "}",
                  at);
}

}  // namespace capstan::wire::rest
