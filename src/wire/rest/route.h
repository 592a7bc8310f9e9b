// Why this file exists: what a path and a method stand for, prepared once at start: the operation
// and the binding by which it is called, which parts of its messages are the bodies and which come
// from the query. Some paths are views instead: documents about the node that are no operation's
// answer (describe, OpenAPI), written by a function.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rpc/body_shape.h"
#include "rpc/condition.h"
#include "rpc/directory.h"
#include "rpc/json_plan.h"
#include "rpc/json_style.h"
#include "wire/rest/exchange.h"
#include "wire/rest/fields.h"
#include "wire/rest/tree.h"

namespace capstan::wire::rest {

// What a view is asked with.
struct ViewRequest {
  std::vector<std::string> arguments;  // of the path
  const QueryFields& query;
};
using View = std::function<Reply(const ViewRequest&)>;
// What a view answers: JSON, which the client gets in its media type, or bytes of a type of its
// own.
enum class ViewBody : std::uint8_t { kOther, kJson };

struct Route {
  Method method = Method::kGet;
  rpc::HttpBinding binding;
  // The operation; of a view the one whose access rules hold for it, or null: anybody may look.
  const rpc::Directory::Entry* entry = nullptr;
  View view;  // empty: the operation is called
  ViewBody view_body = ViewBody::kOther;
  rpc::BodyShape request, response;
  std::vector<QueryField> query;
  rpc::JsonStyle style = rpc::JsonStyle::octez();
  bool takes_condition = false;  // its handler looks at If-Match (rpc/condition.h)
  bool v0 = false;  // of Mayastor's control plane: its JSON and nothing else, its errors
  rpc::JsonPlans* plans = nullptr;  // of that style
  // Messages of a call that is over, empty, for the next one: what is asked again and again needs
  // no memory that is not there. Of operations alone.
  struct Spare {
    std::unique_ptr<rpc::Message> request, response;
  };
  std::unique_ptr<Spare> spare = std::make_unique<Spare>();
  std::unique_ptr<rpc::Message> new_request() const {
    return spare->request ? std::move(spare->request) : entry->new_request();
  }
  std::unique_ptr<rpc::Message> new_response() const {
    return spare->response ? std::move(spare->response) : entry->new_response();
  }
  // What a call does not need any more, either of them null; only small messages are worth it.
  void keep(std::unique_ptr<rpc::Message> asked, std::unique_ptr<rpc::Message> answered) const;

  bool server_streams() const { return entry->operation.method().server_streaming(); }
  bool client_streams() const { return entry->operation.method().client_streaming(); }
};

// All routes of a directory with their tree.
class Routes {
 public:
  // Operations without a binding are POST /rpc/package.Service/Method. kAlreadyExists when two
  // bindings could not be told apart.
  static Result<std::unique_ptr<Routes>> make(const rpc::Directory& directory);
  // A document at `path` ("/describe/{string...}").
  Result<void> add_view(const std::string& path, const rpc::Directory::Entry* access, View view,
                        ViewBody body = ViewBody::kOther);
  // What stands beside the operations: a tree of the caller's, whose routes outlive this object.
  // kAlreadyExists as Tree::merge() says.
  Result<void> add_tree(MergePick pick, Tree tree);
  const Tree& tree() const { return tree_; }
  const std::vector<std::unique_ptr<Route>>& all() const { return routes_; }

 private:
  Result<void> add(const rpc::Directory::Entry& entry, const rpc::HttpBinding& binding,
                   const rpc::Conditions& conditions);
  Result<void> add(std::unique_ptr<Route> route);

  std::vector<std::unique_ptr<Route>> routes_;
  Tree tree_;
  rpc::JsonPlans octez_{rpc::JsonStyle::octez()}, v0_{rpc::JsonStyle::v0()};
};

}  // namespace capstan::wire::rest
