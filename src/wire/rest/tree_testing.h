// Why this file exists: paths as the tables of http-rpc write them ("/foo/<int>*"), for tests of
// the tree. <int> reads integers, every other argument anything. Test code.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "pool.pb.h"
#include "wire/rest/tree.h"

namespace capstan::wire::rest::testing {

// "foo/<int>/repeat", "foobar/<int>*"
inline std::vector<rpc::HttpStep> steps(std::string_view path) {
  std::vector<rpc::HttpStep> out;
  while (!path.empty()) {
    if (path.starts_with('/')) path.remove_prefix(1);
    const auto part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    if (part.empty()) continue;
    rpc::HttpStep step;
    if (part.starts_with('<')) {
      step.kind = part.ends_with('*') ? rpc::HttpStep::Kind::kTail : rpc::HttpStep::Kind::kArgument;
      step.name = part.substr(1, part.find('>') - 1);
      // A field that reads integers.
      if (step.name == "int") step.field = {mayastor::v1::Pool::descriptor()->field(4)};
    } else {
      step.name = part;
    }
    out.push_back(step);
  }
  return out;
}

inline Method method(std::string_view name) {
  Method made{};
  EXPECT_TRUE(method_named(name, made)) << name;
  return made;
}

}  // namespace capstan::wire::rest::testing
