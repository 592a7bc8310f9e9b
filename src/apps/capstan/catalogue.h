// Why this file exists: every operation that this program was built with, found by any of its
// names or by a path. Nothing is asked of a node: descriptors are compiled in.
// Thread-safety: read-only once built.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/directory.h"
#include "wire/rest/route.h"

namespace capstan::apps {

class Catalogue {
 public:
  static Result<std::unique_ptr<Catalogue>> make();

  // Sorted by full name.
  std::vector<const rpc::Operation*> operations() const { return directory_.operations(); }
  // "mayastor.v1.PoolRpc/ListPools" (or with a dot), the end of it ("PoolRpc/ListPools",
  // "ListPools"), a JSON-RPC or Muxio name, "100/10001" of dRPC, "GET /pools". Of several that end
  // so the one of mayastor.v1 is meant; else kInvalidArgument lists them.
  Result<const rpc::Operation*> find(std::string_view name) const;

  struct Call {
    const wire::rest::Route* route = nullptr;
    std::unique_ptr<rpc::Message> request;
  };
  // What a method and a path with query mean. kInvalidArgument says what is wrong with them;
  // kNotFound: no operation is there.
  Result<const wire::rest::Route*> route(std::string_view method, std::string_view url) const;
  // The same with the request filled from path, query and body.
  Result<Call> call(std::string_view method, std::string_view url, std::string_view body) const;
  // Every way in which HTTP calls an operation.
  const wire::rest::Routes& routes() const { return *routes_; }
  const rpc::Directory::Entry& entry(const rpc::Operation& operation) const {
    return *directory_.find(operation.full_name());
  }

 private:
  struct Place {
    const wire::rest::Route* route;
    std::vector<std::string> arguments;
    wire::rest::QueryFields query;
  };
  Result<Place> place(std::string_view method, std::string_view url) const;

  rpc::Directory directory_;
  std::unique_ptr<wire::rest::Routes> routes_;
};

}  // namespace capstan::apps
